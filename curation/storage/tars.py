"""Tar archives, plain or compressed: members by the offset of their bytes in the plain tar."""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Literal, cast

from curation.errors import CurationError, ErrorCode
from curation.reasons import Cause, Reason
from curation.storage.archive_members import (
    Limits,
    Member,
    Span,
    UnreadableMember,
    format_bytes,
    number_duplicates,
    storable_name,
)
from curation.storage.fsspec_paths import is_url

Packing = Literal["plain", "gzip", "bzip2", "xz"]

_MAGIC: tuple[tuple[bytes, Packing], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
# Raised by the three decompressors on damage.
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError, OverflowError)
_CHUNK_BYTES = 1 << 20
_MAX_LINK_STEPS = 40


def tar_packing(path: Path) -> Packing | None:
    """Return how a tar is compressed, from its first block; None where it is not a tar."""
    with path.open("rb") as stream:
        start = stream.read(tarfile.BLOCKSIZE)
    packings = [packing for magic, packing in _MAGIC if start.startswith(magic)]
    packing: Packing = packings[0] if packings else "plain"
    try:
        with open_tar_stream(path, packing) as stream:
            block = stream.read(tarfile.BLOCKSIZE)
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        is_empty_tar = len(block) == tarfile.BLOCKSIZE and not block.strip(b"\0")
        return packing if is_empty_tar else None
    except (*_DAMAGE, OSError):
        return None
    return packing


def open_tar_stream(path: Path, packing: Packing) -> BinaryIO:
    """Open the plain tar inside; seeking is slow in compressed ones."""
    source = path.open("rb") if is_url(path) else path
    match packing:
        case "gzip":
            return cast(BinaryIO, gzip.open(source, "rb"))
        case "bzip2":
            return cast(BinaryIO, bz2.open(source, "rb"))
        case "xz":
            return cast(BinaryIO, lzma.open(source, "rb"))
        case "plain":
            return path.open("rb")


def list_tar(path: Path, packing: Packing, *, name: str, limits: Limits) -> tuple[Member, ...]:
    """List the files of a tar, sorted by path; links are followed inside the archive only."""
    try:
        with open_tar_stream(path, packing) as stream:
            headers = _read_headers(stream, packing, name=name, limits=limits)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CurationError(
            ErrorCode.ARCHIVE_DAMAGED,
            f"{name}: the tar cannot be read ({error}): it is damaged or incomplete",
            hint="Download or copy it again.",
        ) from error
    # A link means the later of two members of one name, as unpacking would leave that one.
    targets = {posixpath.normpath(header.name): header for header in headers}
    members = [_describe(header, targets, limits) for header in headers if not header.isdir()]
    return number_duplicates(members)


def _read_headers(stream: BinaryIO, packing: Packing, *, name: str, limits: Limits) -> list[tarfile.TarInfo]:
    """Return the headers of a tar, and of those that were appended to it behind its end."""
    headers: list[tarfile.TarInfo] = []
    at: int | None = 0
    while at is not None:
        stream.seek(at)
        with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for header in archive:
                headers.append(header)
                if len(headers) > limits.members:
                    raise limits.too_many(name)
            end = archive.offset
        # tarfile treats any broken header except the first as the end.
        stream.seek(end)
        if stream.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"no end mark at byte {end}")
        at = _find_next_tar(stream, end + tarfile.BLOCKSIZE)
    if packing != "plain":  # a compressed stream ends in a checksum
        while stream.read(_CHUNK_BYTES):
            pass
    return headers


def _find_next_tar(stream: BinaryIO, at: int) -> int | None:
    """Return where a tar begins behind the end of another, after blocks of zeros; None where other bytes follow."""
    while block := stream.read(tarfile.BLOCKSIZE):
        if block.strip(b"\0"):
            try:
                tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError:
                return None
            return at
        at += len(block)
    return None


def _describe(header: tarfile.TarInfo, targets: Mapping[str, tarfile.TarInfo], limits: Limits) -> Member:
    path = storable_name(header.name)
    target = _follow_links(header, targets)
    if isinstance(target, Cause):
        return Member(path, 0, None, target)
    refused = _refuse(target, limits)
    return Member(path, target.size, None if refused else Span(target.offset_data), refused)


def _follow_links(header: tarfile.TarInfo, targets: Mapping[str, tarfile.TarInfo]) -> tarfile.TarInfo | Cause:
    """Return the header at the end of a chain of links, or the reason why it is not followed."""
    for _ in range(_MAX_LINK_STEPS):
        if not (header.issym() or header.islnk()):
            return Cause(Reason.NOT_A_FILE, "link to a folder") if header.isdir() else header
        # A symbolic link starts at its own folder, a hard link at the archive's root.
        start = posixpath.dirname(header.name) if header.issym() else ""
        wanted = posixpath.normpath(posixpath.join(start, header.linkname))
        if wanted.startswith("/") or wanted == ".." or wanted.startswith("../"):
            return Cause(Reason.NOT_A_FILE, "link that leaves the archive")
        follower = targets.get(wanted)
        if follower is None:
            return Cause(Reason.NOT_A_FILE, "link to nothing")
        header = follower
    return Cause(Reason.NOT_A_FILE, "link that leads in a circle")


def _refuse(header: tarfile.TarInfo, limits: Limits) -> Cause | None:
    if header.ischr() or header.isblk():
        return Cause(Reason.NOT_A_FILE, "device")
    if header.isfifo():
        return Cause(Reason.NOT_A_FILE, "pipe")
    if header.issparse():
        return Cause(Reason.NOT_A_FILE, "sparse file")
    if not header.isreg():
        return Cause(Reason.NOT_A_FILE)
    return limits.refuse_size(header.size)


def read_tar_member(stream: BinaryIO, place: Span, size_bytes: int) -> bytes:
    """Read one file at its place in the plain tar."""
    try:
        stream.seek(place.offset)
        content = stream.read(size_bytes)
    except _DAMAGE as error:
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "tar cannot be unpacked") from error
    if len(content) < size_bytes:
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "tar is truncated")
    return content


def inflate_tar(path: Path, packing: Packing, target: BinaryIO, *, name: str, limits: Limits) -> int:
    """Write the plain tar inside a compressed one to `target` and return its size in bytes.

    Raises
    ------
    CurationError
        The archive is damaged, or expands beyond `limits`.
    """
    packed_bytes = path.stat().st_size
    ceiling = max(packed_bytes * limits.ratio, limits.tar_floor_bytes)
    written = 0
    with open_tar_stream(path, packing) as stream:
        while chunk := _read_chunk(stream, name=name):
            written += len(chunk)
            if written > ceiling:
                raise CurationError(
                    ErrorCode.ARCHIVE_REFUSED,
                    f"{name}: refused as a decompression bomb: {format_bytes(packed_bytes)} expand to more than "
                    f"{format_bytes(ceiling)}",
                    hint="If the content is right, unpack it by hand and use the folder.",
                )
            target.write(chunk)
    return written


def _read_chunk(stream: BinaryIO, *, name: str) -> bytes:
    try:
        return stream.read(_CHUNK_BYTES)
    except (*_DAMAGE, OSError) as error:
        raise CurationError(
            ErrorCode.ARCHIVE_DAMAGED,
            f"{name}: it cannot be unpacked ({error}): it is damaged or incomplete",
            hint="Download or copy it again.",
        ) from error
