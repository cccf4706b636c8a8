"""Collects the camera's images under a label, lossless, in a folder that the source `board` reads.

A burst is what was collected in one run, or under one name: its images show the same thing and share a group. An image
is written whole or not at all and overwrites nothing; its line in `captures.jsonl` is written after it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from curation.board.frames import Frame, encode_png
from curation.board.messages import BoardVersion
from curation.dataset.recipe import is_class_name
from curation.errors import CurationError, ErrorCode
from curation.sources.board import CAPTURES, name_image, read_number
from curation.storage.atomic_files import replace_file, sweep_leftovers
from curation.storage.disk_errors import code_of
from curation.storage.fsync import append_text
from curation.storage.locks import hold_lock

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Camera(Protocol):
    """Where images are collected from: a board."""

    @property
    def version(self) -> BoardVersion:
        """What runs on the board."""

    def take_frame(self) -> Frame:
        """Take an image."""


@dataclass(frozen=True)
class Collected:
    """One collected image.

    Parameters
    ----------
    path : Path
    label, group : str
    number : int
        The number within its burst, from 1.
    """

    path: Path
    label: str
    group: str
    number: int


def collect(
    camera: Camera,
    into: Path,
    label: str,
    *,
    count: int,
    every_s: float = 1.0,
    group: str | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Collected]:
    """Take images one after another, and yield each once it is written.

    Parameters
    ----------
    camera : Camera
    into : Path
        The folder of the source; created where it is missing.
    label : str
        The source label, and the name of the subfolder.
    count : int
        The number of images to take.
    every_s : float
        Seconds from one image to the next.
    group : str, optional
        The name of the burst, by default the current time. Collecting again under the same name continues its numbers
        and its group.

    Raises
    ------
    CurationError
        The label or the group is invalid, the folder cannot be written, or the board has a fault.
    """
    if not is_class_name(label):
        raise CurationError(
            ErrorCode.NAME_INVALID,
            f"{label!r} is not a valid label",
            hint="The label names a folder: use letters, digits, spaces and . + - _ only, 64 characters at most.",
        )
    group = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ") if group is None else group
    if not _GROUP.fullmatch(group):
        raise CurationError(
            ErrorCode.NAME_INVALID,
            f"{group!r} is not a valid group name",
            hint="Use letters, digits, - and _ only, 64 characters at most, such as mole-3.",
        )
    return _collect(camera, into, label, count=count, every_s=every_s, group=group, wait=wait)


def _collect(
    camera: Camera, into: Path, label: str, *, count: int, every_s: float, group: str, wait: Callable[[float], None]
) -> Iterator[Collected]:
    _prepare(into, label)
    due = time.monotonic()
    for _ in range(count):
        wait(max(due - time.monotonic(), 0.0))
        due = max(due + every_s, time.monotonic())
        frame = camera.take_frame()
        try:
            yield _write_capture(frame, camera.version, into, label, group)
        except OSError as fault:
            raise _cannot_write(into, fault) from fault


def _prepare(into: Path, label: str) -> None:
    try:
        (into / label).mkdir(parents=True, exist_ok=True)
        with hold_lock(into / ".collecting"):
            sweep_leftovers(into / label)
    except OSError as fault:
        raise _cannot_write(into, fault) from fault


def _write_capture(frame: Frame, version: BoardVersion, into: Path, label: str, group: str) -> Collected:
    """Write an image under the next free number of its burst, then its line."""
    content = encode_png(frame)
    # Two programs may collect into one folder; numbers are given out under a lock, so none is given twice.
    with hold_lock(into / ".collecting"):
        number = _next_number(into, group)
        path = into / label / name_image(group, number)
        replace_file(path, content)
        line = _describe(path.relative_to(into), label, group, content, frame, version)
        append_text(into / CAPTURES, json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")
    return Collected(path, label, group, number)


def _next_number(into: Path, group: str) -> int:
    """Return the number after the highest of a burst under any label, as images may be moved to another label."""
    numbers = (read_number(path.name, group) for path in into.glob(f"*/{group}-*.png"))
    return max((number for number in numbers if number is not None), default=0) + 1


def _describe(
    path: Path, label: str, group: str, content: bytes, frame: Frame, version: BoardVersion
) -> dict[str, str]:
    return {
        "path": path.as_posix(),
        "label": label,
        "group": group,
        "taken": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "sha256": hashlib.sha256(content).hexdigest(),
        "crc32": frame.crc32,
        "board": version.board,
        "firmware": version.firmware,
        "model": version.model,
        "data": version.dataset,
        "digest": version.digest,
    }


def _cannot_write(into: Path, fault: OSError) -> CurationError:
    return CurationError(
        code_of(fault),
        f"{into}: cannot be written: {fault.strerror or fault}",
        hint="Give another folder, or free some space.",
    )
