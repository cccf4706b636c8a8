"""Turns a full, read-only or forbidden disk into an error with a next step."""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from curation.errors import CurationError, ErrorCode

HINTS: Mapping[int, str] = {
    errno.ENOSPC: "free some space (`python -m curation gc` shows what it would free) and run it again",
    errno.EDQUOT: "free some of your quota (`python -m curation gc` shows what it would free) and run it again",
    errno.EROFS: "the file system is read-only: point {setting} at a folder you may write to",
    errno.EACCES: "ask for the right to write there, or point {setting} at a folder you may write to",
    errno.EPERM: "ask for the right to write there, or point {setting} at a folder you may write to",
}

_CODES: Mapping[int, ErrorCode] = {
    errno.EACCES: ErrorCode.PERMISSION_DENIED,
    errno.EDQUOT: ErrorCode.DISK_FULL,
    errno.ENOENT: ErrorCode.FILE_MISSING,
    errno.ENOSPC: ErrorCode.DISK_FULL,
    errno.EPERM: ErrorCode.PERMISSION_DENIED,
    errno.EROFS: ErrorCode.DISK_READ_ONLY,
}


@contextlib.contextmanager
def explain_disk_faults(doing: str, *, within: Path, setting: str = "$CURATION_DATASETS") -> Iterator[None]:
    """Turn a full, read-only or forbidden disk inside the block into a ``CurationError``; others pass unchanged.

    Parameters
    ----------
    doing : str
        What could not be done and where: the start of the message.
    within : pathlib.Path
        The folder that is written to; an error on a file elsewhere passes unchanged.
    setting : str
        The setting that determines the folder.
    """
    try:
        yield
    except OSError as fault:
        number = fault.errno or 0
        if number not in HINTS or not _is_ours(fault, within):
            raise
        where = f" ({fault.filename})" if fault.filename else ""
        raise CurationError(
            code_of(fault), f"{doing}: {_name(number)}{where}", hint=HINTS[number].format(setting=setting)
        ) from fault


def _is_ours(fault: OSError, within: Path) -> bool:
    named = fault.filename is not None and not isinstance(fault.filename, int)
    forbidden = fault.errno in {errno.EACCES, errno.EPERM}
    return not (forbidden and named) or Path(os.fsdecode(fault.filename)).is_relative_to(within)


def _name(number: int) -> str:
    names = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the disk is read-only",
    }
    return names.get(number, "not allowed")


def code_of(fault: OSError) -> ErrorCode:
    """Return the error code for what the operating system refused."""
    return _CODES.get(fault.errno or 0, ErrorCode.FILE_UNREADABLE)
