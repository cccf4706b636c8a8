"""Where files come from: each source becomes verified archives, which are read in place."""

from curation.sources.archives import ArchiveReader, Member, UnreadableMember, list_members, read_member
from curation.sources.cache import Cache, CachedFile
from curation.sources.fetch import fetch_all, find_source
from curation.sources.lock import read_lock, write_lock
from curation.sources.protocol import Archive, Fetched, LockedFile, LockLine, Origin, Progress, Request, Silence, Source

__all__ = [
    "Archive",
    "ArchiveReader",
    "Cache",
    "CachedFile",
    "Fetched",
    "LockLine",
    "LockedFile",
    "Member",
    "Origin",
    "Progress",
    "Request",
    "Silence",
    "Source",
    "UnreadableMember",
    "fetch_all",
    "find_source",
    "list_members",
    "read_lock",
    "read_member",
    "write_lock",
]
