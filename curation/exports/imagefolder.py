"""``<split>/<class>/<image>.jpg``: torchvision's ImageFolder reads one split, Hugging Face's ``imagefolder`` all.

Where the version has folds, ``folds.csv`` gives the fold of each image of train and val.
"""

from pathlib import Path

import polars as pl

from curation.exports.rows import Outgoing


def write(outgoing: Outgoing, folder: Path) -> None:
    """Write the images; every split has a folder for every class, so that all splits number the classes alike."""
    for split in outgoing.splits:
        for label in outgoing.classes:
            (folder / split / label).mkdir(parents=True)
    folds = []
    for sample in outgoing.samples:
        place = f"{sample.split}/{sample.label}/{sample.name}.jpg"
        outgoing.copy(sample, folder / place)
        folds.append((place, sample.fold))
    if outgoing.has_folds:
        table = pl.DataFrame(folds, schema=["file", "fold"], orient="row").drop_nulls()
        (folder / "folds.csv").write_bytes(table.write_csv(line_terminator="\n").encode())
