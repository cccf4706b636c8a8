"""Reads the JSON that other tools write next to their images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError, ErrorCode
from curation.storage.archives import Member, UnreadableMember, read_member

if TYPE_CHECKING:
    from pathlib import Path


def read_object(folder: Path, member: Member) -> dict[str, Any]:
    """Return the JSON object in a file of a folder.

    Raises
    ------
    CurationError
        It cannot be read, or is not a JSON object.
    """
    try:
        content = json.loads(read_member(folder, member))
    except (UnreadableMember, ValueError, RecursionError) as fault:
        raise CurationError(
            ErrorCode.SOURCE_INVALID, f"{folder / member.path}: it cannot be read: {fault}", hint="Export it again."
        ) from fault
    if not isinstance(content, dict):
        raise CurationError(
            ErrorCode.SOURCE_INVALID, f"{folder / member.path}: not a JSON object", hint="Export it again."
        )
    return content
