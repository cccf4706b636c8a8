"""Where files come from: each source becomes verified archives, which are read in place."""

from curation.sources.fetch import fetch_all, find_source, index_files
from curation.sources.lock import read_lock, write_lock
from curation.sources.protocol import Fetched, LockedFile, LockLine, Origin, Request, Source

__all__ = [
    "Fetched",
    "LockLine",
    "LockedFile",
    "Origin",
    "Request",
    "Source",
    "fetch_all",
    "find_source",
    "index_files",
    "read_lock",
    "write_lock",
]
