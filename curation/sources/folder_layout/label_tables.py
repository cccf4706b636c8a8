"""Finds the table that labels the images: its column of names, its column of labels, and how they are written."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import polars as pl

from curation.dataset.recipe import SPLIT_NAMES, compose
from curation.sources.folder_layout.listing import Listing, is_image_name
from curation.sources.folder_layout.types import LabelTable
from curation.sources.table_files import read_table
from curation.storage.archive_members import Member, UnreadableMember
from curation.storage.archives import read_member

Match = Literal["path", "name", "stem"]

_LABEL_NAMES: Final = (
    *(
        "label",
        "labels",
        "class",
        "classes",
        "class_name",
        "classname",
        "class_id",
        "classid",
        "category",
        "categories",
    ),
    *("target", "y", "diagnosis", "dx", "species", "breed", "finding", "findings", "finding_labels", "condition"),
    *("type", "kind", "emotion", "expression", "variety", "disease"),
)
_SPLIT_COLUMNS: Final = ("split", "set", "subset", "partition", "usage", "fold")
_BOX_COLUMNS: Final = frozenset(
    {"xmin", "ymin", "xmax", "ymax", "x_min", "y_min", "x_max", "y_max", "x1", "y1", "x2", "y2"}
    | {"bbox", "bboxes", "box", "boxes", "boundingbox", "bounding_box"}
)
_MASK_COLUMNS: Final = frozenset({"encodedpixels", "rle", "segmentation", "mask", "polygon"})
_ONE_LABEL: Final = "this program takes one label an image"
_MAX_BYTES: Final = 512 << 20
_MAX_KEYS: Final = 60
_MAX_LABELS: Final = 2000
_DIVIDED: Final = re.compile(r"[^|;,]+(?:[|;,][^|;,]+)+")


class TableKey(NamedTuple):
    """The column that names the images, and what of their paths it contains."""

    column: str
    match: Match
    by_image: Mapping[str, str]
    """Path of an image -> the value of its row."""


@dataclass(frozen=True)
class FoundTable:
    """What a table contains about the images.

    Parameters
    ----------
    table : LabelTable, optional
        None where no column has one label for each image.
    labels : mapping of str to str
        Path of an image -> label.
    splits : mapping of str to str
        Path of an image -> the source's own name of its split.
    file : str
    rows, matched : int
        The numbers of rows, and of images that have one.
    choices : tuple of str
        The columns that could be the label, where several could.
    notes : tuple of str
        What this program does not do with the table.
    """

    table: LabelTable | None
    labels: Mapping[str, str]
    splits: Mapping[str, str]
    file: str
    rows: int
    matched: int
    choices: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def find_tables(listing: Listing, *, label_column: str | None = None) -> tuple[FoundTable, ...]:
    """Return the tables that name images of the listing, the one that labels most of them first.

    Parameters
    ----------
    label_column : str, optional
        The column of the labels, where several could be it.
    """
    found = [table for member in listing.tables if (table := _examine(listing, member, label_column)) is not None]
    return tuple(sorted(found, key=lambda each: (-len(each.labels), -each.matched, each.file)))


def _examine(listing: Listing, member: Member, label_column: str | None) -> FoundTable | None:
    if member.size_bytes > _MAX_BYTES:
        return None
    try:
        content = read_member(listing.root, member)
        for header in (True, False):
            rows = read_table(content, member.path, header=header).rows
            key = _find_key(rows, listing.images, member.path)
            if key is not None and not (header and _is_value(key, rows, listing.images)):
                return _describe(member.path, rows, key, header=header, label_column=label_column)
    except (UnreadableMember, pl.exceptions.PolarsError, ValueError, OSError):
        return None
    return None


def _is_value(key: TableKey, rows: pl.DataFrame, images: Sequence[str]) -> bool:
    """Return whether the name of the key's column is the name of an image: the table has no header."""
    names = {_spell(path, key.match) for path in images}
    return key.column.replace("\\", "/") in names or (is_image_name(key.column) and key.column not in _LABEL_NAMES)


def _spell(path: str, match: Match) -> str:
    if match == "path":
        return path
    name = path.rpartition("/")[2]
    return name if match == "name" else name.rpartition(".")[0] or name


def _spellings(path: str, table: str) -> dict[Match, tuple[str, ...]]:
    """Return what of an image's path a table may contain."""
    inner = path.removeprefix(table.rpartition("/")[0] + "/") if "/" in table else path
    paths = tuple(dict.fromkeys(each for whole in (path, inner) for each in (whole, whole.rpartition(".")[0] or whole)))
    return {"path": paths, "name": (_spell(path, "name"),), "stem": (_spell(path, "stem"),)}


def _find_key(rows: pl.DataFrame, images: Sequence[str], table: str) -> TableKey | None:
    """Return the column whose values name the most images; None where none names half of the rows or images."""
    best: TableKey | None = None
    spelled = {path: _spellings(path, table) for path in images}
    for column in rows.columns[:_MAX_KEYS]:
        if rows.schema[column].is_nested() or rows.schema[column].is_float():
            continue
        values = {
            compose(value).replace("\\", "/").removeprefix("./")
            for value in rows[column].cast(pl.String).drop_nulls().unique()
        }
        for match in ("path", "name", "stem"):
            if match == "path" and not any("/" in value for value in values):
                continue
            by_image = {
                path: name
                for path, of in spelled.items()
                if (name := next((each for each in of[match] if each in values), None)) is not None
            }
            if match != "path" and len(set(by_image.values())) < len(by_image) / 2:
                continue  # 1.jpg is in every folder
            if by_image and (best is None or len(by_image) > len(best.by_image)):
                best = TableKey(column, match, by_image)
    if best is None or len(best.by_image) < max(2, 0.5 * min(len(images), rows.height)):
        return None
    return best


def _describe(
    file: str, rows: pl.DataFrame, key: TableKey, *, header: bool, label_column: str | None
) -> FoundTable | None:
    value = pl.col(key.column).cast(pl.String).str.normalize("NFC").str.replace_all("\\", "/", literal=True)
    rows = rows.with_columns(value.str.strip_prefix("./").alias("_key"))
    named = rows.filter(pl.col("_key").is_in(list(set(key.by_image.values()))))
    others = tuple(name for name in rows.columns if name not in {key.column, "_key"})
    split = _find_split(named, others)
    notes = list(_name_unused(named, others))
    one_hot, kind = _find_one_hot(named, [name for name in others if name != split])
    choices: tuple[str, ...] = ()
    label: str | tuple[str, ...] | None = None
    if label_column is not None:
        label = label_column if label_column in others else None
    elif one_hot and kind == "one":
        label = one_hot
    else:
        if kind:
            notes.append(f"{len(one_hot)} columns with {kind} of each image ({', '.join(one_hot[:5])}): {_ONE_LABEL}")
        choices = _find_label(named, [name for name in others if name not in {split, *one_hot}])
        label = choices[0] if len(choices) == 1 else None
    labels = _read_labels(named, label)
    several = {name for name, given in labels.items() if len(given) > 1}
    if several:
        notes.append(f"{len(several)} images have rows with different labels: {_ONE_LABEL}")
        return FoundTable(None, {}, {}, file, rows.height, len(key.by_image), choices, tuple(notes))
    divided = sorted({text for given in labels.values() for text in given if _DIVIDED.fullmatch(text)})
    if label is not None and _are_lists(divided, labels):
        notes.append(f"the column {label} has several labels an image ({divided[0]!r}): {_ONE_LABEL}")
        label, labels = None, {}
    by_image = {path: next(iter(labels[name])) for path, name in key.by_image.items() if labels.get(name)}
    if label is None or len(set(by_image.values())) < 2:
        return FoundTable(None, {}, {}, file, rows.height, len(key.by_image), choices, tuple(notes))
    rest = tuple(name for name in others if name not in {split, label, *(label if isinstance(label, tuple) else ())})
    table = LabelTable(file, key.column, key.match, label, split, header, rest)
    return FoundTable(
        table, by_image, _read_splits(named, split, key), file, rows.height, len(key.by_image), (), tuple(notes)
    )


def _are_lists(divided: Collection[str], labels: Mapping[str, Collection[str]]) -> bool:
    """Return whether labels such as ``a|b`` list others: their parts are labels too."""
    every = {text for given in labels.values() for text in given}
    parts = {part.strip() for text in divided for part in re.split(r"[|;,]", text)}
    return bool(divided) and len(parts & every) >= 0.5 * len(parts)


def _find_split(rows: pl.DataFrame, others: Sequence[str]) -> str | None:
    for name in others:
        if name.lower() in _SPLIT_COLUMNS and rows.schema[name] == pl.String:
            values = set(rows[name].drop_nulls())
            if len(values) > 1 and all(value.lower() in SPLIT_NAMES for value in values):
                return name
    return None


def _name_unused(rows: pl.DataFrame, others: Sequence[str]) -> list[str]:
    lower = {name.lower(): name for name in others}
    notes = []
    if boxes := [lower[name] for name in lower if name in _BOX_COLUMNS]:
        notes.append(f"columns of boxes ({', '.join(boxes)}): this program labels whole images, and reads no boxes")
    if masks := [lower[name] for name in lower if name in _MASK_COLUMNS]:
        notes.append(f"columns of masks ({', '.join(masks)}): this program labels whole images, and reads no masks")
    nested = [name for name in others if rows.schema[name].is_nested()]
    if nested:
        notes.append(f"columns of lists ({', '.join(nested[:5])}): {_ONE_LABEL}")
    return notes


def _find_one_hot(rows: pl.DataFrame, others: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return the columns of numbers between 0 and 1, and what they are: one label, several labels or shares."""
    columns = []
    for name in others:
        numbers = (
            pl.Series(dtype=pl.Float64) if rows.schema[name].is_nested() else rows[name].cast(pl.Float64, strict=False)
        )
        if len(numbers) and not numbers.null_count() and numbers.is_between(0, 1).all():
            columns.append(numbers.alias(name))
    if len(columns) < 2:
        return (), ""
    table = pl.DataFrame(columns)
    values = table.to_numpy()
    total = values.sum(axis=1)
    binary = bool(((values == 0) | (values == 1)).all())
    if binary and total.max() == 1 and (total == 1).mean() >= 0.5:
        return tuple(table.columns), "one"
    if binary and total.max() > 1 and len(columns) > 2:
        return tuple(table.columns), "several labels"
    if not binary and (abs(total - 1) < 0.02).mean() >= 0.9:
        return tuple(table.columns), "shares (soft labels)"
    return (), ""


def _find_label(rows: pl.DataFrame, others: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that could be the label; one alone where its name states it."""
    usable = [name for name in others if _is_categorical(rows[name])]
    for wanted in _LABEL_NAMES:
        named = [name for name in usable if re.sub(r"[\W_]+", "_", name.lower()) == wanted]
        if named:
            return (named[0],)
    return tuple(usable)


def _is_categorical(values: pl.Series) -> bool:
    if values.dtype.is_nested():
        return False
    texts = values.cast(pl.String).drop_nulls()
    kinds = texts.n_unique()
    if not 2 <= kinds <= min(_MAX_LABELS, max(2, len(texts) // 2)):
        return False
    fractions = texts.str.contains(r"^-?\d+\.\d+$").all()
    return not (fractions and kinds > 2)


def _read_labels(rows: pl.DataFrame, label: str | tuple[str, ...] | None) -> dict[str, set[str]]:
    """Return name in the table -> its labels."""
    if label is None:
        return {}
    if isinstance(label, tuple):
        hot = rows.select(
            "_key", label=pl.coalesce(pl.when(pl.col(name).cast(pl.Float64) == 1).then(pl.lit(name)) for name in label)
        )
    else:
        hot = rows.select("_key", label=pl.col(label).cast(pl.String).str.normalize("NFC"))
    found: dict[str, set[str]] = {}
    for name, text in hot.drop_nulls().rows():
        found.setdefault(name, set()).add(text)
    return found


def _read_splits(rows: pl.DataFrame, split: str | None, key: TableKey) -> dict[str, str]:
    if split is None:
        return {}
    known = dict(rows.select("_key", split).drop_nulls().rows())
    return {path: known[name] for path, name in key.by_image.items() if name in known}


def count_labels(labels: Mapping[str, str]) -> Counter[str]:
    """Return label -> number of images."""
    return Counter(labels.values())
