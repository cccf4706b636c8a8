"""Recognizes the folders of a source's own splits by all their usual names."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal, TypeAlias

from curation.dataset.recipe import SPLIT_NAMES, Split

SplitWord: TypeAlias = Literal["train", "val", "test", "evaluation", "unlabelled"]

_WORDS: Final[Mapping[str, SplitWord]] = {
    **SPLIT_NAMES,
    "evaluation": "evaluation",
    "eval": "evaluation",
    "holdout": "test",
    "pred": "unlabelled",
    "predict": "unlabelled",
    "prediction": "unlabelled",
    "submission": "unlabelled",
    "unlabeled": "unlabelled",
    "unlabelled": "unlabelled",
}
_FILLERS: Final = frozenset(
    {"set", "sets", "data", "dataset", "split", "splits", "folder", "dir", "image", "images", "img", "imgs", "picture"}
    | {"pictures", "photo", "photos", "pic", "pics", "jpg", "jpeg", "png", "raw", "full", "new", "final", "sample"}
    | {"samples", "resized", "cropped", "crops", "original"}
)
_COMPOUND: Final = re.compile(r"(train|training|val|valid|validation|test|testing)(?:sets?|data|images?|imgs?)")


def name_splits(names: Iterable[str]) -> dict[str, SplitWord]:
    """Return the names of folders that name a split, and which one.

    A further word is allowed where it is a filler (``Test Set``) or where another split has it too (``seg_train``).

    Examples
    --------
    >>> name_splits(["seg_train", "seg_test", "seg_pred", "cat", "test tube"])
    {'seg_pred': 'unlabelled', 'seg_test': 'test', 'seg_train': 'train'}
    >>> name_splits(["TrainImages", "Test Set", "valid"])
    {'Test Set': 'test', 'TrainImages': 'train', 'valid': 'val'}
    """
    words = {name: _words_of(name) for name in sorted(set(names))}
    halves = {name: _divide(parts) for name, parts in words.items()}
    found: dict[str, SplitWord] = {}
    for name, half in halves.items():
        if half is None:
            continue
        word, further = half
        shared = further and any(
            other is not None and other[1] == further and other[0] != word for other in halves.values()
        )
        if not further or shared:
            found[name] = word
    return found


def mentions_split(name: str) -> bool:
    """Return whether one of a folder's words names a split: ``test-multiple`` lies next to ``Test``."""
    return any(word in _WORDS for word in _words_of(name))


def as_sides(words: Mapping[str, SplitWord]) -> dict[str, Split]:
    """Return name of a folder -> split; an evaluation is the test, unless there is another one."""
    has_test = "test" in words.values()
    evaluation: Split = "val" if has_test else "test"
    sides: dict[str, Split] = {}
    for name, word in words.items():
        if word == "evaluation":
            sides[name] = evaluation
        elif word != "unlabelled":
            sides[name] = word
    return sides


def _words_of(name: str) -> tuple[str, ...]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    parts = [part for part in re.split(r"[\W_]+", spaced.lower()) if part]
    return tuple(found[1] if (found := _COMPOUND.fullmatch(part)) else part for part in parts)


def _divide(parts: Collection[str]) -> tuple[SplitWord, tuple[str, ...]] | None:
    """Return the one word that names a split and the further ones, fillers apart; None where there is not one."""
    named = [part for part in parts if part in _WORDS]
    if len(named) != 1:
        return None
    return _WORDS[named[0]], tuple(part for part in parts if part not in _WORDS and part not in _FILLERS)
