"""The responsible-AI fields of Croissant: each says what the manifest and the recipe show, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from curation.dataset.columns import PERSONAL_ROLES
from curation.dataset.manifest import Manifest, is_unreadable
from curation.dataset.recipe import REMEDIES, Recipe
from curation.sources import Fetched


def responsibility(
    recipe: Recipe, description: Mapping[str, Any], manifest: Manifest, fetched: Sequence[Fetched]
) -> dict[str, Any]:
    """Return the responsible-AI fields; each says what the manifest shows, and nothing else."""
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
        "rai:dataCollection": f"{rows} files were taken from existing collections ({archives}); {kept} were chosen.",
        "rai:dataCollectionType": ["Software Collection" if drawn else "Secondary Data Analysis"],
        "rai:dataCollectionMissingData": f"{unread} files could not be read; each is named with its reason in "
        "manifest.parquet.",
        "rai:dataPreprocessingProtocol": _preprocessing(recipe),
        "rai:dataAnnotationProtocol": [_annotation(recipe, manifest)],
        "rai:dataUseCases": [f"Training and testing of image classifiers that tell {_listed(recipe.classes)} apart."],
        "rai:dataLimitations": _limitations(description),
        "rai:dataBiases": _biases(recipe, description, manifest),
        "rai:personalSensitiveInformation": [
            "The pictures carry no EXIF, GPS or maker notes.",
            f"The manifest holds {_listed(personal)} as far as the sources give them."
            if personal
            else "The manifest holds no data about persons.",
        ],
        "rai:dataReleaseMaintenancePlan": "A published version is never changed; a correction is a new version with a "
        "digest of its own.",
    }


def _preprocessing(recipe: Recipe) -> list[str]:
    rule, out = recipe.duplicates, recipe.render
    side = f", scaled down to a shorter side of {out.short_side} px" if out.short_side else ""
    told = out.model_dump(mode="json")
    remedies = [(name, told[name]) for name in REMEDIES if told[name] is not None]
    encoding = {
        "uniform": f"Every picture was written anew as JPEG (quality {out.quality}, {out.subsampling}){side}.",
        "keep": f"JPEGs were copied less their metadata, others written as JPEG{side}.",
    }
    return [
        f"Duplicates were found by bytes, by pixels, and by 64-bit {rule.hash} within {rule.radius} bits confirmed by "
        f"a correlation of thumbnails of at least {rule.correlation:g}"
        + ("." if rule.near else "; near ones stay, in one split."),
        encoding[out.encode],
        *(f"Before that, {name.replace('_', ' ')}: {value}." for name, value in remedies),
        "Pictures that look alike, or belong together by the recipe's rules, lie in one split.",
    ]


def _annotation(recipe: Recipe, manifest: Manifest) -> str:
    decided = manifest.rows["decision"].is_not_null().sum()
    meaning = "; ".join(f"{name}: {', '.join(labels)}" for name, labels in sorted(recipe.labels.classes.items()))
    return f"Labels are the sources' own ({meaning}); people decided on {decided} files."


def _limitations(description: Mapping[str, Any]) -> list[str]:
    held_out = {split: counts for split, counts in description["counts"].items() if split != "train"}
    return [
        f"{split} holds {min(counts.values())} pictures of its smallest class: a rate measured on it is coarse."
        for split, counts in held_out.items()
    ] or ["There is no held-out split."]


def _biases(recipe: Recipe, description: Mapping[str, Any], manifest: Manifest) -> list[str]:
    known = manifest.kept.group_by("label").agg(sources="source")
    sources = {label: frozenset(names) for label, names in known.rows()}
    biases = []
    if len(recipe.classes) > 1 and len(set(sources.values())) > 1:
        biases.append(
            "The classes do not come from the same sources: a model may learn the camera instead of what is shown."
        )
    if description["reserve"]:
        biases.append(f"{description['reserve']} training pictures stand under more than one label in their source.")
    return biases or ["None was looked for beyond sources and disputed labels."]


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else "".join(words)
