"""The source ``drawn``: what a recipe asks for is drawn once, and afterwards found in the cache."""

from __future__ import annotations

import json
import zlib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from curation.dataset.manifest import digest_of
from curation.sources.protocol import Fetched
from curation.sources.synthetic.archive import draw
from curation.sources.synthetic.ground_truth import ground_truth_path
from curation.storage.archive_index import Archive
from curation.storage.hash_index import hash_file
from curation.storage.progress import show_progress

if TYPE_CHECKING:
    from curation.dataset.recipe import DrawnSource
    from curation.sources.protocol import Request

LICENCE = "CC0-1.0"
# A changed drawing must not find the old archive in the cache.
CODE = Path(__file__).parent
# Another version of one of these may code the same pixels in other bytes.
ENCODERS = ("imagecodecs", "numpy", "pillow", "tifffile")


def fetch(request: Request[DrawnSource]) -> Fetched:
    """Draw the archive, or find it in the cache; mirror, lock and network are not used.

    The ground truth lies next to the archive: ``read_ground_truth(fetched.archives[0].path)``.

    Raises
    ------
    CurationError
        The size cannot be drawn, or the cache cannot be written.
    """
    path = _find(request) or _draw(request)
    archive = Archive(path=path, name=f"{request.name}.zip", sha256=path.name, size_bytes=path.stat().st_size)
    return Fetched(
        source=request.name,
        archives=(archive,),
        version=f"seed {request.settings.seed}",
        licence=LICENCE,
        doi=None,
        citation=None,
        url=None,
        origin="drawn",
    )


def _find(request: Request[DrawnSource]) -> Path | None:
    """Return the archive that these settings drew before, where it and its truth are still in the cache."""
    try:
        sha256 = json.loads(_note(request).read_text("utf-8"))["sha256"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    path = request.cache.find(str(sha256))
    return path if path is not None and ground_truth_path(path).is_file() else None


def _draw(request: Request[DrawnSource]) -> Path:
    """Draw the archive and adopt it under its sha256; the note that leads there is written last."""
    cache = request.cache
    with cache.partial(f"drawn {_key(request)}") as folder:
        finished = folder / "drawn.zip"
        try:
            with show_progress(request.progress, f"draw {request.name}", None) as advance, cache.must_write():
                truth = draw(request.settings, finished, advance=advance)
            sha256 = hash_file(finished)
            path = cache.add_archive(finished, sha256)
        finally:
            for leftover in (finished, ground_truth_path(finished)):
                leftover.unlink(missing_ok=True)
    cache.keep(ground_truth_path(path), truth.to_json().encode())
    cache.keep(_note(request), json.dumps({"sha256": sha256}).encode())
    return path


def _note(request: Request[DrawnSource]) -> Path:
    return request.cache.folder("drawn") / f"{_key(request)}.json"


def _key(request: Request[DrawnSource]) -> str:
    """Return the digest of everything that decides the archive's bytes."""
    wanted = request.settings
    return digest_of(
        {
            "drawing": [hash_file(code) for code in sorted(CODE.glob("*.py"))],
            "encoders": {name: metadata.version(name) for name in ENCODERS} | {"zlib": zlib.ZLIB_RUNTIME_VERSION},
            "settings": [wanted.part, wanted.seed, wanted.count, wanted.faults, *wanted.size],
        }
    )
