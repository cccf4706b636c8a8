"""The draft: what a failed build found, kept so that a user can see why it failed."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.dataset.manifest import Manifest
from curation.errors import CurationError
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.fsync import DRAFT, flush_folder, flush_tree, make_temp_folder, remove_tree
from curation.versions.describe import write_text
from curation.versions.locks import Lock


def write_draft(
    held: Lock,
    manifest: Manifest,
    *,
    stage: str,
    fault: CurationError,
    texts: Mapping[str, bytes] | None = None,
) -> Path:
    """Keep what a failed build found, for ``show``, ``explain`` and ``review``.

    Parameters
    ----------
    manifest : Manifest
        As it was before the stage that failed.
    stage : str
        The stage that failed.
    fault : CurationError
        Why; the draft keeps its code, message and hint.
    texts : mapping, optional
        Further files by name (``recipe.toml``, ``decisions.jsonl``), as bytes.

    Returns
    -------
    pathlib.Path
        The draft's folder. It replaces an older draft.
    """
    target = held.home.draft(held.name)
    with explain_disk_faults(f"{target}: the draft could not be written", within=target.parent):
        folder = make_temp_folder(target.parent, DRAFT)
        try:
            manifest.write(folder / "manifest.parquet")
            for file, content in sorted((texts or {}).items()):
                (folder / file).write_bytes(content)
            flush_tree(folder)
            # Written last: a draft with it is complete.
            about: dict[str, Any] = {
                "name": held.name,
                "stage": stage,
                "code": fault.code,
                "reason": fault.message,
                "hint": fault.hint,
                "rows": len(manifest),
            }
            text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
            write_text(folder / "draft.json", text)
            flush_folder(folder)
            drop_draft(held)
            folder.rename(target)
            flush_folder(target.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return target


def drop_draft(held: Lock) -> None:
    """Remove the draft, if there is one, in one step."""
    folder = held.home.draft(held.name)
    if folder.exists():
        remove_tree(folder)
