"""Writes the card of a version in the form of a Hugging Face dataset card: YAML front matter and generated numbers.

Every string in the front matter is written as a JSON string, which is a YAML string too, so that no text of the data
can become a key.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from curation.dataset.findings import SEVERITIES, Finding
from curation.dataset.recipe import Recipe
from curation.report.summary import Summary
from curation.sources import Fetched
from curation.storage.control_characters import strip_line

SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LICENCES: Final = {
    "CC0-1.0": "cc0-1.0",
    "CC-BY-3.0": "cc-by-3.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-ND-4.0": "cc-by-nc-nd-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
}
"""SPDX names as the Hub writes them; all others are ``other``."""
FINDINGS: Final = "### What the audit found"
HUB_SPLITS: Final = {"train": "train", "val": "validation", "test": "test"}


def write_card(
    recipe: Recipe,
    description: Mapping[str, Any],
    summary: Summary,
    fetched: Sequence[Fetched],
    *,
    findings: Sequence[Finding] = (),
) -> str:
    """Return ``CARD.md``: YAML front matter, then Markdown.

    Parameters
    ----------
    description : mapping
        The content of ``version.json``.
    fetched : sequence of Fetched
        Aligned with the recipe's sources.
    findings : sequence of Finding
        The findings of the audit, the worst first.
    """
    parts = [
        _front_matter(recipe, summary),
        f"# {_cell(recipe.title)}",
        f"`{recipe.name}@v{description['version']}`, digest `{description['digest']}`.",
        _prose(recipe.description),
        _warning(findings),
        "## Dataset structure",
        _splits(summary, recipe.classes),
        _reserve(summary),
        "Images are in `images/<split>/<class>/`. `metadata.csv` lists label, split, source, group and sha256 of each, "
        "`manifest.parquet` every ingested file, with the reason where it was excluded.",
        "## Dataset creation",
        "### Source data",
        _sources(recipe, fetched),
        "### Excluded files",
        _reasons(summary),
        "### Methods",
        _methods(recipe, description, summary, fetched),
        "## Bias, risks and limitations",
        _limits(recipe, summary),
        _findings(findings),
        "## Uses",
        _uses(recipe),
        "## Citation",
        _citation(recipe, description, fetched),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(recipe: Recipe, summary: Summary) -> str:
    size = next((words for limit, words in SIZES if summary.kept < limit), "n>1M")
    lines = [
        f"pretty_name: {_quoted(recipe.title)}",
        *_licence_lines(recipe),
        "task_categories:",
        "- image-classification",
        "size_categories:",
        f"- {size}",
        "tags:",
        '- "curation"',
        "configs:",
        "- config_name: default",
        "  data_files:",
    ]
    for split in summary.splits:
        lines += [f"  - split: {HUB_SPLITS[split]}", f'    path: "images/{split}/**"']
    lines += ["dataset_info:", "  features:", "  - name: image", "    dtype: image", "  - name: label", "    dtype:"]
    lines += ["      class_label:", "        names:"]
    lines += [f"          '{number}': {_quoted(name)}" for number, name in enumerate(recipe.classes)]
    lines += ["  splits:"]
    for split, counts in summary.splits.items():
        lines += [f"  - name: {HUB_SPLITS[split]}", f"    num_examples: {sum(counts.values())}"]
    return "\n".join(["---", *lines, "---"])


def _licence_lines(recipe: Recipe) -> Iterator[str]:
    stated = recipe.licence
    named = LICENCES.get(stated or "", "other" if stated else "unknown")
    yield f"license: {named}"
    if named == "other":
        yield f"license_name: {_quoted(stated or '')}"


def _quoted(text: str) -> str:
    """Return text of one line as a JSON string in ASCII, which is a YAML string, too."""
    return json.dumps(" ".join(text.split()))


def _uses(recipe: Recipe) -> str:
    made_for = "This dataset is made for teaching and research."
    if recipe.domain == "dermatology":
        return f"{made_for} Do not base medical decisions on it."
    return f"{made_for} Read its limits before you use a model that was trained on it."


def _warning(findings: Sequence[Finding]) -> str:
    shortcuts = [each for each in findings if each.topic == "shortcut" and each.severity == "error"]
    if not shortcuts:
        return ""
    said = " ".join(_cell(each.says) for each in shortcuts[:4])
    return (
        "> **Read this before any accuracy.** On this dataset, a model that sees one simple feature only can score "
        f"high. {said}"
    )


def _splits(summary: Summary, classes: Sequence[str]) -> str:
    lines = ["| split | " + " | ".join(map(_cell, classes)) + " | all |", "|---" * (len(classes) + 2) + "|"]
    for split, counts in summary.splits.items():
        numbers = " | ".join(str(counts[label]) for label in classes)
        lines.append(f"| {split} | {numbers} | {sum(counts.values())} |")
    return "\n".join(lines)


def _reserve(summary: Summary) -> str:
    if not summary.reserve:
        return ""
    used = ", ".join(f"{len(ids)} {_cell(label)}" for label, ids in summary.reserve.items())
    return (
        f"**{used} in train have more than one label in their source** and are used because the count cannot be "
        "reached otherwise. They are marked `reserve` in `manifest.parquet`."
    )


def _sources(recipe: Recipe, fetched: Sequence[Fetched]) -> str:
    lines = ["| source | what | version | licence | DOI | sha256 |", "|---|---|---|---|---|---|"]
    for source, given in zip(recipe.sources, fetched, strict=True):
        for archive in given.archives:
            cells = [
                source.name,
                f"{source.kind}: {archive.name}",
                given.version or "",
                source.licence or given.licence or "not stated",
                given.doi or "",
                archive.sha256[:16],
            ]
            lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _reasons(summary: Summary) -> str:
    lines = [
        f"{summary.rows} files were ingested, {summary.kept} are kept.",
        "",
        "| step | reason | files |",
        "|---|---|---|",
    ]
    lines += [f"| {_cell(each.excluded_by)} | {_cell(each.phrase)} | {each.rows} |" for each in summary.reasons]
    return "\n".join(lines)


def _limits(recipe: Recipe, summary: Summary) -> str:
    lines = []
    sources = {source.name for source in recipe.sources}
    if len(sources) > 1 and len(recipe.classes) > 1:
        lines.append(
            "- The images come from several sources. Where a class has a source of its own, a model may learn the "
            "camera instead of the content: a high accuracy on this dataset alone is not evidence of the contrary."
        )
    if summary.conflicts:
        lines.append(f"- {len(summary.conflicts)} images have more than one label in their source.")
    if summary.leaks:
        lines.append(
            f"- The sources' own split has {len(summary.leaks)} groups of images on two sides; here each is on one."
        )
    held_out = {split: counts for split, counts in summary.splits.items() if split != "train"}
    for split, counts in held_out.items():
        lines.append(
            f"- {split} has {min(counts.values())} images of its smallest class: a rate measured on it is coarse."
        )
    return "\n".join(lines)


def add_findings(card: str, findings: Sequence[Finding]) -> str:
    """Return the card of a version that was not audited, with the findings of its audit.

    Parameters
    ----------
    card : str
        As ``write_card`` returned it for the one finding that there was no audit.
    findings : sequence of Finding
        The findings of the audit, the worst first.
    """
    before, head, rest = card.partition(FINDINGS)
    if not head:
        return card
    _, gap, after = rest.partition("\n\n|")
    table = f"|{after}".split("\n\n", 1)
    warning = _warning(findings)
    if warning:
        before = before.replace("\n## Dataset structure\n", f"\n{warning}\n\n## Dataset structure\n", 1)
    parts = [before.rstrip("\n"), _findings(findings), *(table[1:] if gap else [rest.strip("\n")])]
    return "\n\n".join(part for part in parts if part)


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    lines = [FINDINGS, "", "| level | finding | description | what to do |", "|---|---|---|---|"]
    for each in sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), each.id)):
        level = f"{each.severity}, known: {each.waived}" if each.waived is not None else each.severity
        lines.append(f"| {_cell(level)} | {each.id} | {_cell(each.says)} | {_cell(each.advice)} |")
    return "\n".join(lines)


def _methods(recipe: Recipe, description: Mapping[str, Any], summary: Summary, fetched: Sequence[Fetched]) -> str:
    rule, counts = recipe.duplicates, _counts(summary)
    turned = " in any of eight orientations" if rule.symmetries and rule.hash == "phash" else ""
    archives = [archive for given in fetched for archive in given.archives]
    sources = ", ".join(f"{archive.name} (sha256 {archive.sha256[:12]})" for archive in archives)
    duplicates = sum(each.rows for each in summary.reasons if each.excluded_by == "dedup")
    return " ".join(
        [
            f"Images were taken from {_cell(sources)}; {summary.rows} files were ingested.",
            f"Duplicates were found by sha256, by pixel content and by 64-bit {rule.hash} within {rule.radius}",
            f"bits{turned}, confirmed by a correlation of 32x32 gray thumbnails of at least {rule.correlation:g};",
            f"{duplicates} {'was' if duplicates == 1 else 'were'} removed.",
            "Near duplicates and images with the same group key lie on one side of the split.",
            f"Order within a class is by a hash keyed with seed {recipe.selection.seed}.",
            f"The result has {summary.kept} images ({counts}){_rendered(recipe)}.",
            f"It was made with curation {description['tool']} and is identified by the digest {description['digest']}.",
        ]
    )


def _counts(summary: Summary) -> str:
    return "; ".join(
        f"{split}: " + ", ".join(f"{n} {label}" for label, n in by.items()) for split, by in summary.splits.items()
    )


def _rendered(recipe: Recipe) -> str:
    rule = recipe.render
    steps = [f"cropped by {100 * rule.crop_border:.0f} % at every edge"] if rule.crop_border is not None else []
    steps += [f"with color constancy by {rule.colour_constancy}"] if rule.colour_constancy is not None else []
    steps += [f"softened to a common sharpness of {rule.common_sharpness:g}"] if rule.common_sharpness else []
    steps += [f"scaled to a short side of {rule.short_side} px"] if rule.short_side else []
    again = f"encoded as JPEG (quality {rule.quality}, {rule.subsampling})"
    steps += [again if rule.encode == "uniform" or len(steps) > bool(rule.short_side) else f"copied or {again}"]
    return ", " + ", ".join(steps)


def _citation(recipe: Recipe, description: Mapping[str, Any], fetched: Sequence[Fetched]) -> str:
    lines = [f"- {_cell(given.citation)}" for given in fetched if given.citation]
    lines += [f"- DOI {_cell(given.doi)}" for given in fetched if given.doi and not given.citation]
    own = f"`{recipe.name}@v{description['version']}` ({description['digest'][:16]})"
    return "\n".join(
        [f"Cite this version as {own}, and its sources:" if lines else f"Cite this version as {own}.", *lines]
    )


def _prose(text: str) -> str:
    """Return the recipe's own prose, line by line, without HTML."""
    return "\n".join(_text(line) for line in text.strip().splitlines())


def _text(text: str | None) -> str:
    """Return text as one line without HTML."""
    plain = strip_line(str(text))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cell(text: str) -> str:
    """Return text that cannot leave its Markdown table cell, contain HTML or become a link."""
    plain = _text(text)
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("[", "\\[").replace("](", "\\](")
