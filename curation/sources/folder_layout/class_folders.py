"""Finds which folders of a tree are classes and which are splits, at any depth."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, NamedTuple

from curation.errors import CurationError, ErrorCode
from curation.sources.folder_layout.listing import IMAGE_FOLDER, Listing
from curation.sources.folder_layout.patterns import LABEL_PATTERN, Expected, alternatives, choose_pattern
from curation.sources.folder_layout.split_names import as_sides, mentions_split, name_splits

_VARIANTS: Final = frozenset(
    {"color", "colour", "grayscale", "greyscale", "gray", "grey", "rgb", "segmented", "raw", "original", "originals"}
    | {"augmented", "cropped", "resized", "processed", "unprocessed"}
)
_PARTS: Final = frozenset(
    {"fold", "part", "batch", "set", "session", "chunk", "dir", "folder", "images", "image", "group", "series", "day"}
    | {"run", "camera", "cam", "patient", "subject", "person", "case", "p", "s", "site"}
)
_SHOWN: Final = 5

Folders = tuple[str, ...]


class Place(NamedTuple):
    """The folders of an image: above its split, the split, and those that may name the label."""

    above: Folders
    split: str | None
    rest: Folders


@dataclass(frozen=True)
class ClassFolders:
    """The labels and splits that the folders of images give.

    Parameters
    ----------
    expected : mapping of str to (label, split)
        By path; None for an image without the one or the other.
    pattern : str
    splits : tuple of str
        The names of folders that are splits, in use.
    sides : mapping of str to {"train", "val", "test"}
    weak : bool
        Whether the folders look like parts of a set rather than classes, so that a table of labels goes before them.
    notes, questions : tuple of str
    """

    expected: Mapping[str, Expected]
    pattern: str
    sides: Mapping[str, str]
    weak: bool
    notes: tuple[str, ...]
    questions: tuple[str, ...]


def find_class_folders(
    listing: Listing, *, single_split: bool = False, class_folder: str | None = None
) -> ClassFolders | None:
    """Return the labels and splits of the folders; None where they name no classes.

    Parameters
    ----------
    single_split : bool
        Whether a tree with only one split keeps it. Otherwise it is a folder like any other.
    class_folder : str, optional
        The name of one folder that is a class, where folders of several levels could be classes.

    Raises
    ------
    CurationError
        Folders of several levels could be classes, or none has the given name.
    """
    parents = {path: tuple(path.split("/")[:-1]) for path in listing.images}
    words = name_splits({name for folders in parents.values() for name in folders})
    words = {name: word for name, word in words.items() if not _is_class_of_its_name(name, parents.values(), words)}
    if _has_splits_below(parents.values(), words):
        return _read_splits_below(listing, parents, words, single_split=single_split)
    places = _divide(parents, words)
    rests = Counter((place.split, place.rest) for place in places.values() if place.rest)
    level = _choose_level(rests, class_folder, listing)
    if level is None:
        return None
    sides = as_sides(words)
    labels = {path: place.rest[level] if len(place.rest) > level else None for path, place in places.items()}
    used = {place.split for path, place in places.items() if labels[path] and place.split in sides}
    kept = {name: sides[name] for name in sorted(filter(None, used))}
    if not single_split and len(set(kept.values())) < 2:
        kept = {}
    expected = {
        path: Expected(labels[path], place.split if labels[path] and place.split in kept else None)
        for path, place in places.items()
    }
    pattern = _write_pattern(listing, places, expected, tuple(kept), level)
    questions = (*_ask(places, labels, level, words), *_ask_about_names({label for label in labels.values() if label}))
    only = sorted({place.split for path, place in places.items() if labels[path] and place.split})
    notes = [*_note_below(places, level)]
    if only and not kept:
        notes.append(f"{_name_some(only)} is the only split with labels, so that the ratios divide its images.")
    weak = _are_parts({label for label in labels.values() if label})
    return ClassFolders(expected, pattern, kept, weak, tuple(notes), questions)


def _is_class_of_its_name(name: str, folders: Collection[Folders], words: Mapping[str, str]) -> bool:
    """Return whether a folder such as ``train`` is a class next to ``car`` and ``plane``, and not a split."""
    if len({words[other] for other in words}) > 1:
        return False
    ends = {each for each in folders if each and each[-1] == name}
    inside = any(name in each[:-1] for each in folders)
    beside = {each for each in folders if each[:-1] in {end[:-1] for end in ends} and each[-1:] != (name,)}
    return bool(ends) and not inside and len(beside) > 1


def _has_splits_below(folders: Collection[Folders], words: Mapping[str, str]) -> bool:
    names = {each[-2] for each in folders if len(each) > 1}
    classes = {name for name in names if name not in words and not IMAGE_FOLDER.fullmatch(name)}
    return len(classes) > 1 and all(len(each) > 1 and each[-1] in words and each[-2] in classes for each in folders)


def _read_splits_below(
    listing: Listing, parents: Mapping[str, Folders], words: Mapping[str, str], *, single_split: bool
) -> ClassFolders:
    found = as_sides({folders[-1]: words[folders[-1]] for folders in parents.values()})  # type: ignore[misc]  # not empty
    kept = found if single_split or len(set(found.values())) > 1 else {}
    expected = {
        path: Expected(folders[-2], folders[-1] if folders[-1] in kept else None) for path, folders in parents.items()
    }
    named = sorted({folders[-1] for folders in parents.values()})
    split = f"(?P<split>{alternatives(kept)})" if kept else f"(?:{alternatives(named)})"
    pattern = choose_pattern([f"(?P<label>[^/]+)/{split}/[^/]+$"], expected, listing)
    return ClassFolders(
        expected, pattern, kept, False, (), tuple(_ask_about_names({e.label for e in expected.values() if e.label}))
    )


def _divide(parents: Mapping[str, Folders], words: Mapping[str, str]) -> dict[str, Place]:
    """Return the place of each image; one that lies in a split folder itself has no folder that could be a class."""
    cuts = {
        path: max((index for index, name in enumerate(folders) if name in words), default=-1)
        for path, folders in parents.items()
    }
    with_split = {folders[:cut] for path, folders in parents.items() if (cut := cuts[path]) >= 0}
    wrapper = _common(with_split or set(parents.values()))
    flat = any(cut >= 0 and cut == len(parents[path]) - 1 for path, cut in cuts.items())
    places = {}
    for path, folders in parents.items():
        cut = cuts[path]
        if cut >= 0:
            places[path] = Place(folders[:cut], folders[cut], folders[cut + 1 :])
            continue
        inside = folders[: len(wrapper)] == wrapper
        rest = folders[len(wrapper) :] if inside else folders
        beside = bool(with_split) and (flat or (rest and mentions_split(rest[0])))
        places[path] = Place(wrapper, None, () if beside else rest)
    return places


def _common(folders: Collection[Folders]) -> Folders:
    """Return the folders that all begin with."""
    every = sorted(folders)
    first, last = (every[0], every[-1]) if every else ((), ())
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return tuple(name for name, _ in same)


def _choose_level(
    rests: Mapping[tuple[str | None, Folders], int], class_folder: str | None, listing: Listing
) -> int | None:
    """Return which of the folders, counted from the outermost, gives the label."""
    tuples = sorted({rest for _, rest in rests})
    if not tuples:
        return None
    if class_folder is not None:
        return _find_named(tuples, class_folder, listing)
    depth = min(map(len, tuples))
    names = [{rest[level] for rest in tuples} for level in range(depth)]
    several = [level for level in range(depth) if len(names[level]) > 1]
    strong = [level for level in several if not _is_division(names[level])]
    strong = [level for level in strong if _is_on_all_sides(rests, level)] or strong
    candidates = strong or several
    uneven = max(map(len, tuples)) > depth and depth == 1 and _holds_only_folders(tuples)
    if not candidates:
        return None
    if len(candidates) > 1 or uneven:
        raise _ambiguous(rests, candidates, listing)
    return candidates[0]


def _find_named(tuples: Sequence[Folders], class_folder: str, listing: Listing) -> int:
    levels = sorted({rest.index(class_folder) for rest in tuples if class_folder in rest})
    if len(levels) != 1:
        names = sorted({name for rest in tuples for name in rest})
        raise CurationError(
            ErrorCode.LAYOUT_AMBIGUOUS,
            f"{listing.root}: the folder {class_folder!r} is " + ("on several levels" if levels else "not there"),
            hint=f"Name one of: {_name_some(names)}.",
        )
    return levels[0]


def _is_division(names: Collection[str]) -> bool:
    """Return whether folders divide a set by other things than classes: by kind of file, year, fold or number."""
    lower = [name.lower() for name in names]
    return (
        all(IMAGE_FOLDER.fullmatch(name) or name in _VARIANTS for name in lower)
        or all(re.fullmatch(r"\d+x", name) for name in lower)
        or all(re.fullmatch(r"(?:19|20)\d\d", name) for name in lower)
        or _is_numbered(names)
    )


def _is_numbered(names: Collection[str]) -> bool:
    """Return whether all names are one word with different numbers, such as ``fold1`` or ``part_2``."""
    stems = {re.sub(r"\d+$", "", name) for name in names}
    return bool(names) and len(stems) == 1 and stems != {""} and all(name[-1:].isdigit() for name in names)


def _are_parts(names: Collection[str]) -> bool:
    """Return whether numbered names are those of parts of a set, and not of classes as ``n01440764`` is."""
    words = {word for name in names for word in re.split(r"[\W\d_]+", name.lower()) if word}
    return _is_numbered(names) and bool(words & _PARTS)


def _is_on_all_sides(rests: Mapping[tuple[str | None, Folders], int], level: int) -> bool:
    """Return whether the folders of a level recur in each split, as classes do and patients do not."""
    by_side: dict[str, set[str]] = {}
    for split, rest in rests:
        if split is not None:
            by_side.setdefault(split, set()).add(rest[level])
    return len(by_side) < 2 or bool(set.intersection(*by_side.values()))


def _holds_only_folders(tuples: Sequence[Folders]) -> bool:
    """Return whether an outermost folder holds folders alone, while others hold images."""
    direct = {rest[0] for rest in tuples if len(rest) == 1}
    return bool(direct) and bool({rest[0] for rest in tuples} - direct)


def _ambiguous(
    rests: Mapping[tuple[str | None, Folders], int], levels: Sequence[int], listing: Listing
) -> CurationError:
    deepest = max(len(rest) for _, rest in rests)
    every = range(deepest) if len(levels) == 1 else levels
    lines, first = [], ""
    for level in every:
        counts: Counter[str] = Counter()
        for (_, rest), count in rests.items():
            if len(rest) > level:
                counts[rest[level]] += count
        shown = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items())[:_SHOWN])
        more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
        lines.append(f"  {shown}{more}")
        first = first or min(counts)
    return CurationError(
        ErrorCode.LAYOUT_AMBIGUOUS,
        f"{listing.root}: folders of several levels could be the classes:\n" + "\n".join(lines),
        hint=f"Name one folder that is a class, for example `--class-folder {first!r}`.",
    )


def _write_pattern(
    listing: Listing,
    places: Mapping[str, Place],
    expected: Mapping[str, Expected],
    splits: Sequence[str],
    level: int,
) -> str:
    labelled = [place for path, place in places.items() if expected[path].label]
    below = {len(place.rest) - level - 1 for place in labelled}
    tail = "/.+$" if len(below) > 1 else "/" + "(?:[^/]+/)" * min(below) + "[^/]+$"
    label = "(?:[^/]+/)" * level + f"(?P<label>[^/]+){tail}"
    classes = sorted({each.label for each in expected.values() if each.label})
    exact = "(?:[^/]+/)" * level + f"(?P<label>{alternatives(classes)}){tail}"
    names = sorted({place.split for place in labelled if place.split})
    wrapper = "/".join(re.escape(name) for name in _common({place.above for place in labelled}))
    cores = [LABEL_PATTERN] if not splits and level == 0 and below == {0} else []
    for core in (label, exact):
        if splits:
            split = f"(?P<split>{alternatives(splits)})"
            cores += [f"{split}/{core}", f"(?:{split}/)?{core}"]
        elif names:
            cores += [f"(?:{alternatives(names)})/{core}", f"(?:(?:{alternatives(names)})/)?{core}"]
        else:
            cores += [f"^{wrapper}/{core}" if wrapper else f"^{core}", core]
    return choose_pattern(cores, expected, listing)


def _ask(
    places: Mapping[str, Place], labels: Mapping[str, str | None], level: int, words: Mapping[str, str]
) -> Iterator[str]:
    """Yield what pools images that the source keeps apart."""
    labelled = {path: place for path, place in places.items() if labels[path]}
    above = sorted(
        {"/".join(name for name in place.above if name not in words) for place in labelled.values() if place.split}
    )
    if len(above) > 1:
        yield f"{_name_some(above)} are pooled: each has splits of its own. Is each split meant to hold all of them?"
    for outer in range(level):
        names = sorted({place.rest[outer] for place in labelled.values()})
        if len(names) > 1 and all(name.lower() in _VARIANTS for name in names):
            yield f"{_name_some(names)} are pooled. If they show the same images, give one of them as --images."
        elif len(names) > 1:
            yield (
                f"{_name_some(names)} are pooled, and the ratios divide all images. To hold one out, write "
                "`(?P<split>...)` for this folder into the pattern and its meaning into `splits`."
            )
    alone = sorted({str(labels[path]) for path, place in labelled.items() if place.split is None})
    if alone and any(place.split for place in labelled.values()):
        yield f"{_name_some(alone)} next to the split folders: these images have a class but no split. Is that right?"


def _ask_about_names(labels: Collection[str]) -> Iterator[str]:
    odd = sorted(
        name
        for name in labels
        if IMAGE_FOLDER.fullmatch(name) or re.fullmatch(r"masks?|\d+x|annotations?|gt", name, re.IGNORECASE)
    )
    if odd:
        yield f"{_name_some(odd)}: is this a class? The classes may be the folders above."
    elif _are_parts(labels) or all(re.fullmatch(r"(?:19|20)\d\d", name) for name in labels):
        yield f"{_name_some(sorted(labels))}: are these classes? They look like parts of a set."


def _note_below(places: Mapping[str, Place], level: int) -> Iterator[str]:
    below = sorted({place.rest[level + 1] for place in places.values() if len(place.rest) > level + 1})
    if len(below) > 1:
        yield (
            f"Below the classes are the folders {_name_some(below)}. If each holds images of one object or person, "
            "`group` in the recipe keeps these together."
        )


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
