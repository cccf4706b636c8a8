"""COCO: ``annotations/instances_<split>.json`` and the images; each image has one annotation that covers it.

COCO has no classes of whole images. Its readers understand a box around the image and convert it back to a class.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from curation.exports.rows import Outgoing, Sample


def write(outgoing: Outgoing, folder: Path) -> None:
    """Write the images and the annotations; images, annotations and categories are numbered from 1."""
    (folder / "annotations").mkdir()
    for split in outgoing.splits:
        (folder / split).mkdir()
        sizes = []
        samples = outgoing.mixed(split)
        for sample in samples:
            content = outgoing.copy(sample, folder / split / f"{sample.name}.jpg")
            with Image.open(io.BytesIO(content)) as image:
                sizes.append(image.size)
        text = json.dumps(_annotate(outgoing, samples, sizes), indent=1)
        (folder / "annotations" / f"instances_{split}.json").write_bytes(text.encode())


def _annotate(outgoing: Outgoing, samples: Sequence[Sample], sizes: Sequence[tuple[int, int]]) -> dict[str, object]:
    category = {label: place for place, label in enumerate(outgoing.classes, start=1)}
    names = sorted({sample.licence for sample in outgoing.samples if sample.licence})
    licence = {name: place for place, name in enumerate(names, start=1)}
    images, annotations = [], []
    for number, (sample, (width, height)) in enumerate(zip(samples, sizes, strict=True), start=1):
        image = {"id": number, "file_name": f"{sample.name}.jpg", "width": width, "height": height}
        rights = {"license": licence[sample.licence]} if sample.licence else {}
        metadata = {"metadata": sample.known_metadata()} if outgoing.metadata else {}
        images.append({**image, **rights, **sample.provenance(), **metadata})
        corners = [0, 0, width, 0, width, height, 0, height]
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": category[sample.label],
                "bbox": [0, 0, width, height],
                "segmentation": [corners],
                "area": width * height,
                "iscrowd": 0,
            }
        )
    return {
        "info": {"description": outgoing.reference, **outgoing.identity()},
        "licenses": [{"id": place, "name": name, "url": ""} for name, place in licence.items()],
        "categories": [{"id": place, "name": label, "supercategory": ""} for label, place in category.items()],
        "images": images,
        "annotations": annotations,
    }
