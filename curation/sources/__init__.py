"""Where files come from: each source becomes verified archives, which are read in place."""

from curation.sources.fetch import fetch_all, find_source
from curation.sources.lock import read_lock, write_lock
from curation.sources.protocol import Archive, Fetched, LockedFile, LockLine, Origin, Request, Source

__all__ = [
    "Archive",
    "Fetched",
    "LockLine",
    "LockedFile",
    "Origin",
    "Request",
    "Source",
    "fetch_all",
    "find_source",
    "read_lock",
    "write_lock",
]
