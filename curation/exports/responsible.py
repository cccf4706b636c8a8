"""The responsible-AI fields of Croissant, derived from the manifest and the recipe only."""

from collections.abc import Mapping, Sequence
from typing import Any

from curation.dataset.columns import PERSONAL_ROLES
from curation.dataset.manifest import Manifest, is_unreadable
from curation.dataset.recipe import REMEDIES, Recipe
from curation.sources import Fetched


def responsibility(
    recipe: Recipe, description: Mapping[str, Any], manifest: Manifest, fetched: Sequence[Fetched]
) -> dict[str, Any]:
    """Return the responsible-AI fields."""
    rows, kept = description["rows"], description["kept"]
    archives = "; ".join(
        f"{given.source}: {archive.name}, sha256 {archive.sha256}" for given in fetched for archive in given.archives
    )
    unread = manifest.rows.filter(is_unreadable()).height
    drawn = all(source.kind == "drawn" for source in recipe.sources)
    kept_rows = manifest.kept
    personal = [
        column.name
        for column in manifest.metadata
        if column.role in PERSONAL_ROLES and kept_rows[column.name].null_count() < kept_rows.height
    ]
    return {
        "rai:dataCollection": f"{rows} files come from existing collections ({archives}); {kept} were chosen.",
        "rai:dataCollectionType": ["Software Collection" if drawn else "Secondary Data Analysis"],
        "rai:dataCollectionMissingData": f"{unread} files could not be read; manifest.parquet lists each with its "
        "reason.",
        "rai:dataPreprocessingProtocol": _preprocessing(recipe),
        "rai:dataAnnotationProtocol": [_annotation(recipe, manifest)],
        "rai:dataUseCases": [f"Training and testing image classifiers that distinguish {_listed(recipe.classes)}."],
        "rai:dataLimitations": _limitations(description),
        "rai:dataBiases": _biases(recipe, description, manifest),
        "rai:personalSensitiveInformation": [
            "The images contain no EXIF, GPS or maker notes.",
            f"The manifest contains {_listed(personal)} where the sources give them."
            if personal
            else "The manifest contains no data about persons.",
        ],
        "rai:dataReleaseMaintenancePlan": "A published version is never changed; corrections are new versions with "
        "their own digests.",
    }


def _preprocessing(recipe: Recipe) -> list[str]:
    rule, out = recipe.duplicates, recipe.render
    side = f", scaled down to a shorter side of {out.short_side} px" if out.short_side else ""
    settings = out.model_dump(mode="json")
    remedies = [(name, settings[name]) for name in REMEDIES if settings[name] is not None]
    encoding = {
        "uniform": f"Every image was encoded again as JPEG (quality {out.quality}, {out.subsampling}){side}.",
        "keep": f"JPEGs were copied without their metadata, other images encoded as JPEG{side}.",
    }
    return [
        f"Duplicates were found by bytes, by pixels, and by 64-bit {rule.hash} within {rule.radius} bits confirmed by "
        f"a correlation of thumbnails of at least {rule.correlation:g}"
        + ("." if rule.near else "; near duplicates are kept, in one split."),
        encoding[out.encode],
        *(f"Before that, {name.replace('_', ' ')}: {value}." for name, value in remedies),
        "Images that are duplicates, or belong together by the recipe's rules, are in one split.",
    ]


def _annotation(recipe: Recipe, manifest: Manifest) -> str:
    decided = manifest.rows["decision"].is_not_null().sum()
    meaning = "; ".join(f"{name}: {', '.join(labels)}" for name, labels in sorted(recipe.labels.classes.items()))
    return f"Labels are the sources' own ({meaning}); reviewers decided on {decided} files."


def _limitations(description: Mapping[str, Any]) -> list[str]:
    held_out = {split: counts for split, counts in description["counts"].items() if split != "train"}
    return [
        f"{split} has {min(counts.values())} images of its smallest class, so that rates measured on it are coarse."
        for split, counts in held_out.items()
    ] or ["There is no held-out split."]


def _biases(recipe: Recipe, description: Mapping[str, Any], manifest: Manifest) -> list[str]:
    known = manifest.kept.group_by("label").agg(sources="source")
    sources = {label: frozenset(names) for label, names in known.rows()}
    biases = []
    if len(recipe.classes) > 1 and len(set(sources.values())) > 1:
        biases.append("The classes come from different sources: a model may learn the camera instead of the content.")
    if description["reserve"]:
        biases.append(f"{description['reserve']} training images have several labels in their source.")
    return biases or ["Only sources and disputed labels were examined; none was found."]


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else "".join(words)
