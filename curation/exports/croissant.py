"""``croissant.json``: the description of a version in Croissant 1.1 with the responsible-AI fields.

``mlcroissant.Dataset(jsonld="croissant.json").records("samples")`` gives the images with their labels and splits.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from curation.dataset.manifest import SPLITS, Manifest
from curation.dataset.recipe import Recipe
from curation.exports.responsible import responsibility
from curation.sources import Fetched

CONFORMS: Final = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
SPDX: Final = "https://spdx.org/licenses/"
NOT_STATED: Final = "not stated by its sources"

_SPLIT_URLS: Final = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
_OWN_TERMS: Final = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator",
    "source", "subField", "transform",
)  # fmt: skip
CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _OWN_TERMS},
}
"""The context that Croissant 1.1 prescribes."""


def write_croissant(
    folder: Path,
    recipe: Recipe,
    description: Mapping[str, Any],
    manifest: Manifest,
    fetched: Sequence[Fetched],
    *,
    published: str,
) -> None:
    """Write ``croissant.json`` to a version's folder, next to the tables that it describes.

    Parameters
    ----------
    folder : pathlib.Path
        Already contains ``manifest.parquet`` and ``metadata.csv``.
    description : mapping
        The content of ``version.json``.
    fetched : sequence of Fetched
        In the order of the recipe's sources.
    published : str
        The day of publication, ISO 8601.
    """
    files = {name: (folder / name).read_bytes() for name in ("metadata.csv", "manifest.parquet")}
    content = describe(recipe, description, manifest, fetched, files=files, published=published)
    text = json.dumps(content, indent=2)
    # Web pages embed this text in a script element, which a title must not be able to close.
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    (folder / "croissant.json").write_bytes((text + "\n").encode())


def describe(
    recipe: Recipe,
    description: Mapping[str, Any],
    manifest: Manifest,
    fetched: Sequence[Fetched],
    *,
    files: Mapping[str, bytes],
    published: str,
) -> dict[str, Any]:
    """Return the JSON-LD of a version; the parameters are those of ``write_croissant``."""
    reference = f"{recipe.name}@v{description['version']}"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS),
        "name": recipe.name,
        "alternateName": recipe.title,
        "description": " ".join(recipe.description.split()) or recipe.title,
        "version": f"{description['version']}.0.0",
        "identifier": f"sha256:{description['digest']}",
        "datePublished": published,
        "license": _licences(recipe, fetched),
        "citeAs": _cite(recipe, reference, description, fetched),
        "keywords": list(description["classes"]),
        **_links(fetched),
        "isBasedOn": [_origin(recipe, place, given) for place, given in enumerate(fetched)],
        "distribution": _distribution(files),
        "recordSet": [_splits(description), _labels(description), _samples()],
        **responsibility(recipe, description, manifest, fetched),
    }


def _licences(recipe: Recipe, fetched: Sequence[Fetched]) -> list[str]:
    """Return the licence of the set, else those of its sources, all of which apply."""
    named = {recipe.licence} if recipe.licence else _source_licences(recipe, fetched)
    return sorted(_spdx(name) for name in named if name) or [NOT_STATED]


def _source_licences(recipe: Recipe, fetched: Sequence[Fetched]) -> set[str | None]:
    return {source.licence or given.licence for source, given in zip(recipe.sources, fetched, strict=True)}


def _spdx(name: str) -> str:
    """Return the URL of a licence given by its SPDX name; other text is returned unchanged."""
    plain = name.strip()
    is_name = "-" in plain and all(part.replace(".", "").isalnum() and part.isascii() for part in plain.split("-"))
    return f"{SPDX}{plain}.html" if is_name else plain


def _cite(recipe: Recipe, reference: str, description: Mapping[str, Any], fetched: Sequence[Fetched]) -> str:
    own = f"{recipe.title} ({reference}, sha256 {description['digest']})"
    cited = sorted({" ".join(given.citation.split()) for given in fetched if given.citation})
    return ". Made from: ".join([own, "; ".join(cited)]) if cited else own


def _links(fetched: Sequence[Fetched]) -> dict[str, Any]:
    """Return the URL of the set: that of its source, where it has only one."""
    links = [_doi_url(given.doi) or given.url for given in fetched]
    return {"url": links[0]} if len(links) == 1 and links[0] else {}


def _doi_url(doi: str | None) -> str | None:
    return f"https://doi.org/{doi.removeprefix('https://doi.org/')}" if doi else None


def _origin(recipe: Recipe, place: int, given: Fetched) -> dict[str, Any]:
    licence = recipe.sources[place].licence or given.licence
    facts = {
        "name": given.source,
        "version": given.version,
        "url": given.url,
        "sameAs": _doi_url(given.doi),
        "license": licence and _spdx(licence),
        "citation": given.citation,
    }
    archives = [{"name": archive.name, "sha256": archive.sha256} for archive in given.archives]
    return {
        "@type": "sc:Dataset",
        **{key: value for key, value in facts.items() if value},
        "distribution": [{"@type": "sc:DataDownload", **archive} for archive in archives],
    }


def _distribution(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    kinds = {"metadata.csv": "text/csv", "manifest.parquet": "application/vnd.apache.parquet"}
    descriptions = {
        "metadata.csv": "One row per image: file, label, split, sha256 of the source file, group, source.",
        "manifest.parquet": "One row for every file of the sources, with the reason where it is excluded; "
        "file_sha256 is the checksum of each published image.",
    }
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "description": descriptions[name],
            "contentUrl": name,
            "contentSize": f"{len(content)} B",
            "encodingFormat": kinds[name],
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        for name, content in files.items()
    ]
    images = {
        "@type": "cr:FileSet",
        "@id": "pictures",
        "name": "pictures",
        "description": "The published images, images/<split>/<label>/<sha256 prefix>.jpg.",
        "encodingFormat": "image/jpeg",
        "includes": "images/*/*/*.jpg",
    }
    return [*objects, images]


def _splits(description: Mapping[str, Any]) -> dict[str, Any]:
    used = [split for split in SPLITS if split in description["counts"]]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_inline("splits/name", "sc:Text"), _inline("splits/url", "sc:URL")],
        "data": [{"splits/name": split, "splits/url": _SPLIT_URLS[split]} for split in used],
    }


def _labels(description: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "dataType": "sc:Enumeration",
        "key": {"@id": "labels/name"},
        "field": [_inline("labels/name", "sc:Text")],
        "data": [{"labels/name": label} for label in description["classes"]],
    }


def _inline(identity: str, kind: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": identity, "name": identity.rpartition("/")[2], "dataType": kind}


def _samples() -> dict[str, Any]:
    # Image names are unique without their folders, and a loader applies the expression more than once.
    joined = {
        **_column("name", "file_name", "The name of the image file."),
        "references": {"fileSet": {"@id": "pictures"}, "extract": {"fileProperty": "filename"}},
    }
    joined["source"] = {**joined["source"], "transform": {"regex": "^(?:.*/)?([^/]+)$"}}
    image = {
        "@type": "cr:Field",
        "@id": "samples/image",
        "name": "image",
        "description": "The image.",
        "dataType": "sc:ImageObject",
        "source": {"fileSet": {"@id": "pictures"}, "extract": {"fileProperty": "content"}},
    }
    label = {**_column("label", "label", "The class."), "references": {"field": {"@id": "labels/name"}}}
    split = {**_column("split", "split", "The split."), "references": {"field": {"@id": "splits/name"}}}
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "key": {"@id": "samples/name"},
        "field": [
            joined,
            image,
            label,
            split,
            _column("sha256", "sha256", "The checksum of the source file."),
            _column("group", "group", "Images of one group belong together and are in one split."),
            _column("source", "source", "The source of the image."),
        ],
    }


def _column(name: str, column: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"samples/{name}",
        "name": name,
        "description": description,
        "dataType": "sc:Text",
        "source": {"fileObject": {"@id": "metadata.csv"}, "extract": {"column": column}},
    }
