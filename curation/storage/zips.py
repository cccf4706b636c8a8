"""Zip archives: the central directory through zipfile, single members by their offset.

A worker that reads one member must not parse the directory of all members, nor find one by a name that occurs twice;
hence the direct read.
"""

from __future__ import annotations

import itertools
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from curation.errors import CurationError, ErrorCode
from curation.reasons import Cause, Reason
from curation.storage.archive_members import (
    Limits,
    Member,
    UnreadableMember,
    ZipPlace,
    number_duplicates,
    storable_name,
)

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_FLAG_UTF8 = 0x800
_FLAG_ENCRYPTED = 0x1 | 0x40 | 0x2000
_MADE_ON_DOS = 0
_UNICODE_PATH = 0x7075
# Raised by zipfile on a damaged directory, in addition to its own error.
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, EOFError)


def list_zip(path: Path, *, name: str, limits: Limits) -> tuple[Member, ...]:
    """List the files of a zip, sorted by path; a file that must not be read has the reason."""
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except UnicodeDecodeError as error:
        raise CurationError(
            ErrorCode.ARCHIVE_DAMAGED,
            f"{name}: a file name in it is marked as UTF-8 and is not: {error.object!r}",
            hint="Unpack it and pack it again, or use the unpacked folder.",
        ) from error
    except _DAMAGE as error:
        raise CurationError(
            ErrorCode.ARCHIVE_DAMAGED,
            f"{name}: the zip's directory cannot be read ({error}): it is damaged or incomplete",
            hint="Download or copy it again.",
        ) from error
    if len(infos) > limits.members:
        raise limits.too_many(name)
    return number_duplicates(_refuse_overlaps(infos, [_describe(info, limits) for info in infos]))


def _describe(info: zipfile.ZipInfo, limits: Limits) -> Member:
    refused = _refuse(info, limits)
    place = ZipPlace(info.header_offset, info.compress_size, info.compress_type, info.CRC)
    return Member(_decode_name(info), info.file_size, None if refused else place, refused)


def _refuse(info: zipfile.ZipInfo, limits: Limits) -> Cause | None:
    if info.flag_bits & _FLAG_ENCRYPTED:
        return Cause(Reason.ENCRYPTED)
    if stat.S_ISLNK(info.external_attr >> 16):
        return Cause(Reason.NOT_A_FILE, "link")
    if info.compress_type not in _READABLE:
        return Cause(Reason.UNSUPPORTED_COMPRESSION, str(info.compress_type))
    return limits.refuse_size(info.file_size, info.compress_size)


def _decode_name(info: zipfile.ZipInfo) -> str:
    """Return the name of a file, by one rule on every Python: later versions read the UTF-8 path field, 3.11 does not.

    It is the UTF-8 path field (Info-ZIP's 0x7075) where its checksum is that of the name; else UTF-8, declared or not;
    else code page 437.
    """
    stored = info.orig_filename.partition("\0")[0]
    declared = bool(info.flag_bits & _FLAG_UTF8)
    raw = stored.encode("utf-8" if declared else "cp437", "replace")
    name = stored
    if not declared:
        # Many tools write UTF-8 without declaring it; cp437 maps every byte, so encoding restores the bytes.
        stated = _read_unicode_path(info.extra, raw)
        try:
            name = raw.decode("utf-8") if stated is None else stated
        except UnicodeDecodeError:
            name = stored
    if info.create_system == _MADE_ON_DOS and not _is_shift_jis(name, raw):
        name = name.replace("\\", "/")
    return storable_name(name)


def _read_unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in Info-ZIP's UTF-8 path field; None where there is none, or it belongs to another name."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + size]
        at += 4 + size
        if kind == _UNICODE_PATH and len(body) >= 5 and body[0] == 1:
            if int.from_bytes(body[1:5], "little") != zlib.crc32(raw):
                return None
            try:
                return body[5:].decode("utf-8") or None
            except UnicodeDecodeError:
                return None
    return None


def _is_shift_jis(name: str, raw: bytes) -> bool:
    """Return whether every backslash in a name is the second byte of a character of Shift-JIS, not a separator."""
    if "\\" not in name or raw.isascii():
        return False
    try:
        return "\\" not in raw.decode("cp932")
    except UnicodeDecodeError:
        return False


def _refuse_overlaps(infos: Sequence[zipfile.ZipInfo], members: Sequence[Member]) -> list[Member]:
    """Refuse files whose packed bytes overlap the next file's: in bombs thousands of names share one stream."""
    order = sorted(range(len(infos)), key=lambda index: (infos[index].header_offset, index))
    checked = list(members)
    for index, follower in itertools.pairwise(order):
        end = infos[index].header_offset + _LOCAL_HEADER.size + infos[index].compress_size
        if end > infos[follower].header_offset and checked[index].refused is None:
            bomb = Cause(Reason.ARCHIVE_BOMB, "shares its bytes with another file")
            checked[index] = replace(checked[index], locator=None, refused=bomb)
    return checked


def read_zip_member(stream: BinaryIO, place: ZipPlace, size_bytes: int) -> bytes:
    """Read one file at its place and check its length and checksum."""
    if place.method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        packed = _read_packed(stream, place)
        content = packed if place.method == zipfile.ZIP_STORED else _inflate(packed, size_bytes)
    else:
        content = _read_rare(stream, place, size_bytes)
    if len(content) != size_bytes:
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "zip entry of another length than declared")
    if zlib.crc32(content) != place.crc32:
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "zip entry fails its checksum")
    return content


def _read_packed(stream: BinaryIO, place: ZipPlace) -> bytes:
    stream.seek(place.header_offset)
    header = stream.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "zip is truncated")
    signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04":
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "zip entry without a header")
    stream.seek(place.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes)
    packed = stream.read(place.packed_bytes)
    if len(packed) < place.packed_bytes:
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "zip is truncated")
    return packed


def _inflate(packed: bytes, size_bytes: int) -> bytes:
    try:
        # One byte more than declared shows a wrong size without unpacking everything.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size_bytes + 1)
    except zlib.error as error:
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "zip entry cannot be unpacked") from error


def _read_rare(stream: BinaryIO, place: ZipPlace, size_bytes: int) -> bytes:
    """Read bzip2 and LZMA, which are rare in zips, with zipfile."""
    try:
        with zipfile.ZipFile(stream) as archive:
            info = next(info for info in archive.infolist() if info.header_offset == place.header_offset)
            with archive.open(info) as member:
                return member.read(size_bytes + 1)
    except (*_DAMAGE, lzma.LZMAError, OSError, StopIteration) as error:
        raise UnreadableMember(Reason.ARCHIVE_DAMAGED, "zip entry cannot be unpacked") from error
