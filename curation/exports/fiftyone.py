"""FiftyOne's own layout for image classification, one folder per split: ``data/`` and ``labels.json``.

``fiftyone.Dataset.from_dir(dataset_dir=DIR/train, dataset_type=fiftyone.types.FiftyOneImageClassificationDataset)``.
"""

import json
from pathlib import Path

from curation.exports.rows import Outgoing


def write(outgoing: Outgoing, folder: Path) -> None:
    """Write the images and, per split, the classes, the class number of each image, and its fold if there is one."""
    number = {label: place for place, label in enumerate(outgoing.classes)}
    for split in outgoing.splits:
        (folder / split / "data").mkdir(parents=True)
        labels = {}
        for sample in outgoing.mixed(split):
            outgoing.copy(sample, folder / split / "data" / f"{sample.name}.jpg")
            labels[sample.name] = number[sample.label]
        content = {"classes": list(outgoing.classes), "labels": labels, "curation": outgoing.identity()}
        folds = {sample.name: sample.fold for sample in outgoing.mixed(split) if sample.fold is not None}
        content |= {"folds": folds} if folds else {}
        (folder / split / "labels.json").write_bytes(json.dumps(content, indent=1).encode())
