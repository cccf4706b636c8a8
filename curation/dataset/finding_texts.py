"""Makes the sentences of an audit's findings from their codes and facts; nothing reads these sentences.

The audit finds, and the page, the card and the command line show: the sentence of a finding is made only there.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from curation.dataset.borderline import advise_borderline, describe_borderline

if TYPE_CHECKING:
    from curation.dataset.findings import Finding

AS_PUBLISHED: Final = "as published"
"""The name of the images before any remedy, among the remedies that were tried."""
ALL_REMEDIES: Final = "all of them"
"""The name of all remedies together."""


@dataclass(frozen=True)
class FindingText:
    """What was found, and what to do about it: whole sentences."""

    says: str
    advice: str


def count_of(number: int, word: str, plural: str | None = None) -> str:
    """Return a number with its word.

    Examples
    --------
    >>> count_of(1, "image"), count_of(2_000, "image")
    ('1 image', '2,000 images')
    """
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def column_words(column: str) -> str:
    """Return the name of a metadata column in words."""
    return column.replace("_", " ")


def describe_finding(finding: "Finding") -> FindingText:
    """Return the sentences of a finding.

    Raises
    ------
    KeyError
        Where the code has no text here: a bug of the audit.
    """
    if "column" in finding.facts and finding.topic == "balance":
        return _describe_association(finding)
    if "split" in finding.facts and finding.topic == "balance":
        return _describe_test_size(finding)
    return _TEXTS[finding.id](finding)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


# balance


def _describe_association(finding: "Finding") -> FindingText:
    word = column_words(str(finding.facts["column"]))
    commonest = "; ".join(f"{label}: {value} {_percent(share)}" for label, value, share in finding.facts["commonest"])
    return FindingText(
        f"The label is associated with {word} (Cramer's V {finding.figures['cramers_v']:.2f}; {commonest}). "
        "A model may learn one instead of the other.",
        f"Balance the classes over {word}, or test within each of its values before you trust an accuracy.",
    )


def _describe_test_size(finding: "Finding") -> FindingText:
    figures, split = finding.figures, _capitalize(str(finding.facts["split"]))
    return FindingText(
        f"{split} has {count_of(finding.count, 'image')} ({finding.facts['least']} in its smallest class). An accuracy "
        f"of 95 % measured on it is compatible with {_percent(figures['low'])} to {_percent(figures['high'])}, and "
        f"two models must differ by {100 * figures['smallest_difference']:.0f} points before the difference is "
        "significant.",
        "Compare models by repeated grouped cross-validation over all images, or collect a larger test set.",
    )


def _describe_classes(finding: "Finding") -> FindingText:
    counts = ", ".join(f"{count:,} {label}" for label, count in finding.facts["classes"])
    return FindingText(
        f"The classes are uneven in train: {counts}.",
        "Use class weights in training, or set `balance = true` or counts under [selection].",
    )


def _describe_same_sources(_: "Finding") -> FindingText:
    return FindingText(
        "Test and train come from the same sources: the test does not show how a model does with another camera or "
        "place.",
        "Reserve one source for the test before you claim that a model works elsewhere.",
    )


def _describe_strata(finding: "Finding") -> FindingText:
    unknown, partial = (", ".join(map(column_words, finding.facts[name])) for name in ("unknown", "partial"))
    says = [f"{unknown} unknown for every image"] if unknown else []
    says += [f"{partial} known for some classes only"] if partial else []
    return FindingText(
        f"{_capitalize('; '.join(says))}. Whether a model works equally well for everyone cannot be checked.",
        "Name the source's metadata file in the recipe (`metadata`), if it has one.",
    )


# labels


def _describe_doubtful(finding: "Finding") -> FindingText:
    run = finding.facts.get("run")
    by = "the embeddings of a training run" if run else "simple features"
    return FindingText(
        f"{count_of(finding.count, 'label is', 'labels are')} doubtful by {by}: a model that was not fitted on the "
        f"image gives its label a probability below {_percent(finding.figures['limit'])}.",
        "Review the first ones first (`python -m curation review`), and decide relabel, exclude or keep.",
    )


def _describe_disputed(finding: "Finding") -> FindingText:
    by = ", ".join(f"{count} {label}" for label, count in finding.facts["classes"])
    return FindingText(
        f"{count_of(finding.count, 'image')} in use with another label elsewhere in the source: {by}.",
        "Have an expert decide each (`python -m curation review`), and relabel or exclude what is wrong.",
    )


def _describe_two_labels(finding: "Finding") -> FindingText:
    return FindingText(
        f"{count_of(finding.count, 'pair')} of images with different labels show the same image{_estimated(finding)}.",
        "Decide which label is right (`python -m curation review`), and build again.",
    )


FIRST: Final = "duplicates-borderline"
"""The finding that stands before all others: it decides what the set contains."""


def _describe_nearly_same(finding: "Finding") -> FindingText:
    return FindingText(describe_borderline(finding.facts), advise_borderline(finding.facts))


# an audit that was left for later


def _describe_not_audited(finding: "Finding") -> FindingText:
    return FindingText(
        "This version is not audited yet.",
        f"Run `python -m curation audit {finding.facts['reference']}`: it adds the findings to the version, its page "
        "and its card.",
    )


# leakage


def _describe_leak(words: str) -> Callable[["Finding"], FindingText]:
    return lambda finding: FindingText(
        f"{count_of(finding.count, 'pair')} across the split {words}{_estimated(finding)}.",
        "Inspect each pair. Exclude one of the two images and build again. Where the pairs show different objects, "
        "lower `tolerance` under [duplicates].",
    )


def _estimated(finding: "Finding") -> str:
    """Return how many pairs there are by a sample, where not every candidate was compared."""
    estimate = finding.facts.get("estimate")
    if estimate is None:
        return ""
    value, low, high = (round(end) for end in estimate)
    return f" (of a sample; there are about {value:,}, 95 % interval {low:,} to {high:,})"


def _describe_burst(finding: "Finding") -> FindingText:
    return FindingText(
        f"{count_of(finding.count, 'pair')} across the split are neighbors in their numbering and correlate more than "
        "images far apart do.",
        "Inspect each pair: shots of one moment belong on one side. Name what they share in `group`.",
    )


ORIGINS: Final[Mapping[str, str]] = {
    "same-bytes": "the very same source file",
    "patient": "the same patient",
    "lesion": "the same lesion",
    "group": "the same group of the recipe",
    "source-image": "the same image number in their file names",
}
"""What images on two sides of a split share: the ending of the finding's code, and its words."""


def _describe_origin(words: str) -> Callable[["Finding"], FindingText]:
    def describe(finding: "Finding") -> FindingText:
        apart = int(finding.facts["several_sources"])
        between = f" ({apart:,} of them in more than one source, which a `group` rule does not join)" if apart else ""
        return FindingText(
            f"{count_of(finding.count, 'origin')} on two sides of the split: {words}{between}.",
            " ".join(_origin_advice(within=apart < finding.count, apart=apart > 0)),
        )

    return describe


def _origin_advice(*, within: bool, apart: bool) -> Iterator[str]:
    """Return what a user can do: a `group` rule joins images of one source, and no others."""
    if within:
        yield "Name it in the source's `group`, so that its images stay on one side, and build again."
    if apart:
        yield (
            "No `group` rule joins images of two sources: inspect each pair, exclude the image of one side where they "
            "have one origin (`python -m curation review`), and build again."
        )


# licence


def _from(finding: "Finding") -> str:
    return f"{count_of(finding.count, 'image')} of {', '.join(finding.facts['sources'])}"


def _describe_licence_missing(finding: "Finding") -> FindingText:
    return FindingText(
        f"{_from(finding)} without a stated licence: their use may not be allowed.",
        "Find out, and set `licence` (an SPDX name) in the source's table of the recipe.",
    )


def _describe_non_commercial(finding: "Finding") -> FindingText:
    return FindingText(
        f"{_from(finding)} may not be used commercially.",
        "Do not train a commercial product on it without permission.",
    )


def _describe_mixed(finding: "Finding") -> FindingText:
    return FindingText(
        f"{_from(finding)} may not be used commercially, but the dataset is to be released under "
        f"{finding.facts['licence']}.",
        "Exclude them, or state a non-commercial `licence` in the recipe.",
    )


def _describe_no_derivatives(finding: "Finding") -> FindingText:
    return FindingText(
        f"{_from(finding)} may not be distributed in changed form, and scaling changes them.",
        "Exclude them from what is released, or ask for permission.",
    )


def _describe_share_alike(finding: "Finding") -> FindingText:
    return FindingText(
        f"{_from(finding)} must be distributed under their own licence, not {finding.facts['licence']}.",
        "Exclude them, or state their licence as that of the dataset.",
    )


def _describe_whole(finding: "Finding") -> FindingText:
    stated = ", ".join(finding.facts["licences"]) or "none stated"
    return FindingText(
        f"The recipe states no licence of the dataset. Licences of its images: {stated}.",
        "Set `licence` at the top of the recipe before you distribute the dataset.",
    )


def _describe_citation(finding: "Finding") -> FindingText:
    return FindingText(
        f"Citation and DOI are unknown for {', '.join(finding.which)}.",
        "Set `citation` in the source's table of the recipe. A pull from the network records the source's own.",
    )


# privacy


def _describe_embedded(finding: "Finding") -> FindingText:
    kinds = ", ".join(f"{kind} in {count}" for kind, count in finding.facts["kinds"])
    return FindingText(
        f"{count_of(finding.count, 'published file')} with more than an image inside: {kinds}.",
        "Do not distribute this version. Build it again: a build writes no metadata into a file.",
    )


def _describe_patients(finding: "Finding") -> FindingText:
    return FindingText(
        f"manifest.parquet names the patient of {count_of(finding.count, 'image')}, as the source does.",
        "Make sure that these are pseudonyms before you distribute the manifest.",
    )


def _describe_burned_in(finding: "Finding") -> FindingText:
    return FindingText(
        f"Text is burned into {count_of(finding.count, 'image')}, as the BurnedInAnnotation tag states.",
        "Review these images, and exclude those that show a name or a date.",
    )


# quality


@dataclass(frozen=True)
class QualityText:
    """What images of poor quality show, of one and of several, and what to do about it."""

    one: str
    several: str
    advice: str


QUALITY: Final[Mapping[str, QualityText]] = {
    "blur": QualityText("is blurred", "are blurred", "Set `min_sharpness` under [quality], or exclude them."),
    "exposure": QualityText(
        "is over- or underexposed over a tenth of its area",
        "are over- or underexposed over a tenth of their area",
        "Set `min_brightness` and `max_brightness` under [quality], or exclude them.",
    ),
    "size": QualityText("is smaller than 48 px", "are smaller than 48 px", "Set `min_side` under [quality]."),
    "compression": QualityText(
        "is visibly compressed",
        "are visibly compressed",
        "Raise `quality` under [render], or look for better originals.",
    ),
    "hair": QualityText("shows hairs", "show hairs", "Make sure that all classes have them."),
    "lines": QualityText("has thin dark lines", "have thin dark lines", "Make sure that all classes have them."),
    "marks": QualityText(
        "has regular marks along a side",
        "have regular marks along a side",
        "Make sure that all classes have them, or try `crop_border` (see `audit --remedies`).",
    ),
    "ruler": QualityText(
        "may show a ruler",
        "may show a ruler",
        "Make sure that all classes have them, or try `crop_border` (see `audit --remedies`).",
    ),
    "border": QualityText(
        "has black areas at its border",
        "have black areas at their border",
        "Try `crop_border` under [render]: `audit --remedies` shows whether it helps.",
    ),
}


def _describe_quality(text: QualityText) -> Callable[["Finding"], FindingText]:
    def describe(finding: "Finding") -> FindingText:
        shares = ", ".join(f"{100 * share:.1f} % of {label}" for label, share in finding.facts["classes"])
        says = f"{count_of(finding.count, 'image')} {text.one if finding.count == 1 else text.several} ({shares})."
        if finding.facts["lopsided"]:
            says += " The classes differ in it, so it may predict the label."
        shifts = "; ".join(
            f"{_percent(held_out)} of {label} in {split}, {_percent(trained)} in train"
            for label, split, held_out, trained in finding.facts["shifts"]
        )
        if shifts:
            says += f" Train and test differ in it: {shifts}."
        return FindingText(says, text.advice)

    return describe


def _describe_unreadable(finding: "Finding") -> FindingText:
    reference = finding.facts["reference"]
    return FindingText(
        f"{count_of(finding.count, 'published file')} cannot be opened.",
        f"`python -m curation verify {reference}` lists everything that changed since it was published. Move the "
        f"version's folder away, and `python -m curation build {reference}` makes it again.",
    )


def _describe_not_rendered(finding: "Finding") -> FindingText:
    return FindingText(
        f"{count_of(finding.count, 'published file')} can be opened but not rendered again, so no trial contains "
        f"{'it' if finding.count == 1 else 'them'}.",
        "The figures after each remedy are without these files. `verify` lists files that changed after publication.",
    )


# shortcut

SHORTCUT_ADVICE: Final[Mapping[str, str]] = {
    "encoding": 'Set `encode = "uniform"` under [render]: every image is then written with the same encoder settings.',
    "file-size": 'With `encode = "uniform"` only the amount of detail is left in it. Never give a model the file size.',
    "frame": 'Set `encode = "uniform"` and `short_side` under [render]. A different aspect ratio needs a crop.',
    "sharpness": "Set `common_sharpness` under [render], augment with blur and noise, and test on images of all "
    "classes from one camera.",
    "border": "Set `crop_border` under [render], and a `short_side` that every image still has after the crop.",
    "artefacts": "Set `crop_border` under [render], and add images of the other classes that show the same.",
    "colour": "Set `colour_constancy` under [render], and augment the colors.",
    "surroundings": "Collect all classes with one camera and one light. Until then do not trust any accuracy on this "
    "dataset.",
    "thumbnail": "Some of this may be what the images are about. Compare with `surroundings`, which cannot see it.",
}
"""Probe -> what helps in general."""
REMEDIED: Final = frozenset({"encoding", "frame", "sharpness", "border", "artefacts", "colour"})
"""The probes against which [render] has a remedy that `audit --remedies` tries."""


def _describe_shortcut(name: str) -> Callable[["Finding"], FindingText]:
    strength = {
        "error": "This alone predicts the label.",
        "warning": "It predicts the label in part.",
        "note": "It predicts the label weakly.",
    }

    def describe(finding: "Finding") -> FindingText:
        figures = finding.figures
        against = " against the rest" if finding.facts.get("classes", 0) > 2 else ""
        return FindingText(
            f"{_capitalize(str(finding.facts['looks_at']))}: AUC {figures['auc']:.3f} ({figures['low']:.3f} to "
            f"{figures['high']:.3f}) for {finding.facts['label']}{against}, where 0.5 is chance. "
            f"{strength[finding.severity]}",
            _shortcut_advice(SHORTCUT_ADVICE[name], finding.facts),
        )

    return describe


def _shortcut_advice(general: str, facts: Mapping[str, Any]) -> str:
    """Return the advice on a shortcut, led by what the remedies did to it on these images where they were tried."""
    tried = facts.get("remedies")
    if tried is None:
        trial = facts.get("trial")
        return f"{general} Try it first: `python -m curation audit {trial} --remedies`." if trial else general
    if not tried["helps"]:
        advice = f"No remedy of the recipe helps here (at best {tried['after']:.3f}): only other images would."
    else:
        which = (
            "All remedies together help"
            if tried["best"] == ALL_REMEDIES
            else f"Of the remedies `{tried['best']}` helps"
        )
        advice = f"{which} most here: {tried['before']:.3f} becomes {tried['after']:.3f}."
    if tried["worse"]:
        advice += f" {' and '.join(f'`{name}`' for name in tried['worse'])} would make it worse."
    return f"{advice} In general: {general}" if tried["helps"] else advice


def _describe_source(finding: "Finding") -> FindingText:
    pairs = "; ".join(f"{label} from {source}" for label, source in finding.facts["pairs"])
    return FindingText(
        f"Every class comes from sources of its own ({pairs}): a model that knows the camera knows the class.",
        "Add images of every class from every source. Until then a model may only know the cameras.",
    )


def _describe_unknown(finding: "Finding") -> FindingText:
    reason = finding.facts.get("reason")
    if reason is not None:
        return FindingText(
            f"The shortcuts could not be measured: {reason}.",
            "Add images of independent groups. Until then it is unknown whether there is a shortcut.",
        )
    figures = finding.figures
    return FindingText(
        f"{count_of(finding.count, 'image is', 'images are')} too few to rule out a shortcut: by "
        f"{finding.facts['looks_at']} the AUC is {figures['auc']:.3f} ({figures['low']:.3f} to {figures['high']:.3f}), "
        "where 0.5 is chance and 1.0 is a perfect prediction.",
        "Add images of independent groups. Until then neither a shortcut nor its absence is shown.",
    )


# waivers


def _describe_unused_waiver(finding: "Finding") -> FindingText:
    return FindingText(
        f"The recipe waives what was not found: {', '.join(finding.which)}.",
        "Remove it from [audit.waive], or correct its name.",
    )


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


_TEXTS: Final[Mapping[str, Callable[["Finding"], FindingText]]] = {
    "audit-missing": _describe_not_audited,
    "balance-classes": _describe_classes,
    "balance-same-sources": _describe_same_sources,
    "balance-strata": _describe_strata,
    FIRST: _describe_nearly_same,
    "labels-disputed": _describe_disputed,
    "labels-doubtful": _describe_doubtful,
    "labels-twins": _describe_two_labels,
    "leakage-burst": _describe_burst,
    "leakage-crop": _describe_leak("are an image and a part of it"),
    "leakage-look-alike": _describe_leak("show the same image"),
    **{f"leakage-{name}": _describe_origin(words) for name, words in ORIGINS.items()},
    "licence-citation": _describe_citation,
    "licence-missing": _describe_licence_missing,
    "licence-mixed": _describe_mixed,
    "licence-no-derivatives": _describe_no_derivatives,
    "licence-non-commercial": _describe_non_commercial,
    "licence-share-alike": _describe_share_alike,
    "licence-whole": _describe_whole,
    "privacy-burned-in": _describe_burned_in,
    "privacy-metadata": _describe_embedded,
    "privacy-patients": _describe_patients,
    **{f"quality-{name}": _describe_quality(text) for name, text in QUALITY.items()},
    "quality-not-rendered": _describe_not_rendered,
    "quality-unreadable": _describe_unreadable,
    **{f"shortcut-{name}": _describe_shortcut(name) for name in SHORTCUT_ADVICE},
    "shortcut-source": _describe_source,
    "shortcut-unknown": _describe_unknown,
    "waiver-unused": _describe_unused_waiver,
}
