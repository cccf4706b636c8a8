"""``<split>/<class>/<image>.jpg``: torchvision's ImageFolder reads one split, Hugging Face's ``imagefolder`` all."""

from pathlib import Path

from curation.exports.rows import Outgoing


def write(outgoing: Outgoing, folder: Path) -> None:
    """Write the images; every split has a folder for every class, so that all splits number the classes alike."""
    for split in outgoing.splits:
        for label in outgoing.classes:
            (folder / split / label).mkdir(parents=True)
    for sample in outgoing.samples:
        outgoing.copy(sample, folder / sample.split / sample.label / f"{sample.name}.jpg")
