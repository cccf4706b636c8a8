"""Reading the JSON that other tools write beside their pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError
from curation.storage.archives import Member, UnreadableMember, read_member

if TYPE_CHECKING:
    from pathlib import Path


def read_object(folder: Path, member: Member) -> dict[str, Any]:
    """Return the JSON object that a file of a folder holds.

    Raises
    ------
    CurationError
        It cannot be read, or is no JSON object.
    """
    try:
        content = json.loads(read_member(folder, member))
    except (UnreadableMember, ValueError, RecursionError) as fault:
        raise CurationError(f"{folder / member.path}: cannot be read: {fault}", hint="Export it again.") from fault
    if not isinstance(content, dict):
        raise CurationError(f"{folder / member.path}: not a JSON object", hint="Export it again.")
    return content
