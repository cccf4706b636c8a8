"""``training/`` and ``testing/`` with an ``info.labels`` each, for Edge Impulse's uploader.

Its own split is random, so every file states its category. It has no third split: a ``val`` sample has the category
``training`` and ``"split": "val"`` in its metadata, by which a project can hold it out.
"""

import json
from pathlib import Path

from curation.exports.rows import Outgoing, Sample

CATEGORIES = {"train": "training", "val": "training", "test": "testing"}


def write(outgoing: Outgoing, folder: Path) -> None:
    """Write the images and the label files."""
    for category in sorted(set(CATEGORIES.values())):
        samples = sorted(
            (sample for sample in outgoing.samples if CATEGORIES[sample.split] == category),
            key=lambda sample: sample.name,
        )
        (folder / category).mkdir()
        for sample in samples:
            outgoing.copy(sample, folder / category / f"{sample.name}.jpg")
        content = {"version": 1, "files": [_describe(outgoing, sample, category) for sample in samples]}
        (folder / category / "info.labels").write_bytes(json.dumps(content, indent=1).encode())


def _describe(outgoing: Outgoing, sample: Sample, category: str) -> dict[str, object]:
    facts = {"split": sample.split, "version": outgoing.reference, "digest": outgoing.version.digest}
    facts |= {name: str(value) for name, value in sample.provenance().items() if value is not None}
    facts |= {name: str(value) for name, value in sample.known_metadata().items()}
    return {
        "path": f"{sample.name}.jpg",
        "name": sample.name,
        "category": category,
        "label": {"type": "label", "label": sample.label},
        "metadata": facts,
    }
