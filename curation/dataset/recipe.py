"""``datasets/<name>/recipe.toml`` becomes a frozen, validated ``Recipe``; every mistake is reported in one run."""

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from curation.dataset.columns import IMPLIED_ROLES, RESERVED_NAMES, SCHEMA, Role
from curation.dataset.manifest import SPLITS, digest_of
from curation.errors import CurationError, ErrorCode
from curation.storage.fsspec_paths import is_url

Split = Literal["train", "val", "test"]
Share = Annotated[float, Field(gt=0, le=1)]

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
KINDS = ("kaggle", "figshare", "folder", "drawn", "board", "huggingface", "fiftyone", "edge-impulse")
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
CLASS_PATTERN = re.compile(r"[^\W_](?:[\w .+-]{0,62}[\w+-])?")
"""Names a folder on every system: Windows takes a dot or a space from the end; see also `is_class_name`."""
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
)
COLUMN_PATTERN = re.compile(r"[^\W\d_]\w{0,63}")
BOARD_PATTERN = r"(?P<label>[^/]+)/[^/]+-\d{4,}\.png\Z"
BOARD_GROUP = r"([^/]+)-\d{4,}\.png\Z"


def compose(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    """Return texts, and those in lists and tables, in Unicode's composed form (NFC).

    macOS stores an accent as a character of its own, a keyboard gives one character: one label in two spellings.
    """
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {compose(key): compose(each) for key, each in value.items()}
    return [compose(each) for each in value] if isinstance(value, list | tuple) else value


def _refuse_null(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("no file can have this name")
    return path


SourcePath = Annotated[Path, AfterValidator(_refuse_null)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MetadataColumn(_Part):
    """A column of a metadata file that the manifest takes, and what it stands for."""

    source: str = Field(alias="from")
    """The column of the file."""
    role: Role | None = None
    """What the column stands for; a column named as one of 0.1.0's has that role unless it is given another."""


class MetadataFile(_Part):
    """A CSV, JSON lines file or Parquet inside the source that describes its images."""

    file: str
    """Glob over the paths inside the source (or a path next to the recipe, starting with ``./``)."""
    key: str
    """The column that names the image."""
    match: Literal["stem", "name", "path"] = "stem"
    """What of the image's path equals the key: the file name without its suffix, with it, or the whole path."""
    columns: dict[str, MetadataColumn] = Field(default_factory=dict)
    """Name in the manifest -> column of the file: its name, or a table of ``from`` and ``role``."""
    label: str | Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    """The column that holds the source label, where the path does not; or one column of 0 and 1 for each label."""
    split: str | None = None
    """The column that holds the source's own split."""
    header: bool = True
    """Whether the first line of a CSV names the columns; otherwise they are ``column_1``, ``column_2`` and so on."""

    @field_validator("columns", mode="before")
    @classmethod
    def _spelled_out(cls, columns: object) -> object:
        """Return each column as a table: a plain text names the column of the file, ``{}`` takes one's own name."""
        return (
            {name: _spell_out(str(name), column) for name, column in columns.items()}
            if isinstance(columns, dict)
            else columns
        )

    def canonical_columns(self) -> dict[str, object]:
        """Return the columns as they stand in the recipe's digest: plain texts where 0.1.0 could write them so."""
        return {
            name: column.source
            if column.role == IMPLIED_ROLES.get(name)
            else {"from": column.source, "role": column.role}
            for name, column in self.columns.items()
        }


def _spell_out(name: str, column: object) -> object:
    column = {"from": column} if isinstance(column, str) else column
    return {"from": name, "role": IMPLIED_ROLES.get(name), **column} if isinstance(column, dict) else column


BURNED_IN = "burned_in_annotation"
"""The metadata column that states whether text is burned into a DICOM image; its role is `burned_in`."""


DICOM_COLUMNS: Mapping[str, str] = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
}
"""The columns of DICOM tags where the recipe names none."""


class DicomTags(_Part):
    """The tags of DICOM files that become metadata columns."""

    columns: dict[str, MetadataColumn] = Field(
        default_factory=lambda: {
            name: MetadataColumn.model_validate(_spell_out(name, keyword)) for name, keyword in DICOM_COLUMNS.items()
        }
    )
    """Name in the manifest -> the tag's keyword: its name, or a table of ``from`` and ``role``."""
    salt: Annotated[str, Field(min_length=8)] | None = None
    """Where given, values are replaced by digits of a sha256 of it and the value: pseudonyms that stay equal."""

    @field_validator("columns", mode="before")
    @classmethod
    def _spelled_out(cls, columns: object) -> object:
        return (
            {name: _spell_out(str(name), column) for name, column in columns.items()}
            if isinstance(columns, dict)
            else columns
        )


class GroupColumn(_Part):
    """Images with the same value of this metadata column belong together."""

    column: str


class _Source(_Part):
    name: str
    pattern: str | None = None
    """Regular expression over the path, with the named groups ``label`` and ``split`` (either may be missing)."""
    label: str | None = None
    """The source label of every image; ``""`` means not labelled yet."""
    splits: dict[str, Split] = Field(default_factory=dict)
    """The source's names of its splits, where they are not train, val(idation) or test."""
    group: str | GroupColumn | None = None
    """Regular expression over the path: equal matches (its groups, else the whole) belong together."""
    licence: str | None = None
    """SPDX name; where given it replaces what the source states."""
    citation: str | None = None
    """How its authors want to be cited; where given it replaces what the source states."""
    metadata: MetadataFile | None = None
    dicom: DicomTags | None = None
    """Tags of DICOM files that become metadata columns; ``{}`` takes patient, study and series."""
    base: Path | None = Field(default=None, exclude=True, repr=False)
    """The recipe's folder, where ``./`` starts; set when the recipe is read, and not part of its content."""

    @field_validator("pattern", "label", "splits", "group", mode="before")
    @classmethod
    def _composed(cls, value: object) -> object:
        return compose(value)

    @field_validator("pattern", "group")
    @classmethod
    def _compiles(cls, value: object) -> object:
        if isinstance(value, str):
            try:
                re.compile(value)
            except re.error as fault:
                raise ValueError(f"not a regular expression: {fault}") from None
        return value

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not NAME_PATTERN.fullmatch(value):
            raise ValueError("a source's name is lower-case letters, digits, - and _ (64 at most)")
        return value


class KaggleSource(_Source):
    """A dataset on Kaggle."""

    kind: Literal["kaggle"]
    dataset: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    version: int | None = None


class FigshareSource(_Source):
    """An article on figshare."""

    kind: Literal["figshare"]
    article: Annotated[int, Field(gt=0)]
    version: int | None = None
    files: tuple[str, ...] = ("*",)


class FolderSource(_Source):
    """A directory, a zip or a tar; a relative path starts at the recipe's folder."""

    kind: Literal["folder"]
    path: SourcePath


class ForeignSource(_Source):
    """A folder that another tool wrote; its own files state labels and splits. A relative path starts at the recipe."""

    kind: Literal["huggingface", "fiftyone", "edge-impulse"]
    path: SourcePath
    label_column: str | None = None
    """The column of the labels, where several columns of a Hugging Face dataset could be it."""


class BoardSource(_Source):
    """Images that a board's camera took, as `board --collect` saved them; relative to the recipe."""

    kind: Literal["board"]
    path: SourcePath
    pattern: str | None = BOARD_PATTERN
    group: str | GroupColumn | None = BOARD_GROUP
    """Images of one burst show the same thing, so they belong together unless the recipe changes it."""


class DrawnSource(_Source):
    """Images drawn from a seed, with planted faults."""

    kind: Literal["drawn"]
    part: Literal["lesions", "skin"]
    seed: int = 1
    count: Annotated[int, Field(ge=1, le=100_000)] = 24
    faults: bool = True
    size: tuple[int, int] = (180, 180)


AnySource = Annotated[
    KaggleSource | FigshareSource | FolderSource | BoardSource | ForeignSource | DrawnSource,
    Field(discriminator="kind"),
]


class Labels(_Part):
    """Source label -> class; context labels stay in the table so that a conflict is seen."""

    classes: dict[str, tuple[str, ...]]
    """Empty where the sources have no labels and the classes are not known yet: such a set is only reviewed."""
    context: tuple[str, ...] | Literal["*"] = ()

    @field_validator("classes", "context", mode="before")
    @classmethod
    def _composed(cls, value: object) -> object:
        return compose(value)

    def class_of(self) -> dict[str, str]:
        """Return the map from source label to class."""
        return {label: name for name, labels in sorted(self.classes.items()) for label in labels}


def _whole(value: object) -> object:
    """Return a whole number as an integer, so that 400 and 400.0 are one setting, with one digest."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Bound = Annotated[int | Annotated[float, Field(allow_inf_nan=False)], BeforeValidator(_whole)]


class ToneWindow(_Part):
    """Samples from ``low`` to ``high`` become 0 to 255, linearly; in the units of the file, negative ones included."""

    low: Bound
    high: Bound

    @field_validator("high")
    @classmethod
    def _above_low(cls, value: float, others: ValidationInfo) -> float:
        if value <= others.data.get("low", float("-inf")):
            raise ValueError(f"it must be above low, which is {others.data['low']}")
        return value


class Decode(_Part):
    """Which pixels are hashed and measured."""

    scale: Literal["scaled", "full"] = "scaled"
    tone: Literal["scale"] | ToneWindow = "scale"
    pages: Literal["first", "each"] = "first"
    max_megapixels: Annotated[int, Field(ge=1, le=2000)] | None = None
    """Larger images are refused as decompression bombs; by default those above Pillow's own limit, 179."""

    def canonical(self) -> dict[str, object]:
        """Return the settings as they stand in digests: the limit only where it is set."""
        plain = self.model_dump(mode="json")
        return {key: value for key, value in plain.items() if key != "max_megapixels" or value is not None}


class Render(_Part):
    """Which pixels are published, and how they are encoded."""

    encode: Literal["uniform", "keep"] = "uniform"
    short_side: Annotated[int, Field(ge=8, le=8192)] | None = 128
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    subsampling: Literal["4:4:4", "4:2:0"] = "4:4:4"
    crop_border: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """Share of each side that is cut off at every edge, against borders, rulers and vignettes; before it is scaled."""
    colour_constancy: Literal["grey-world", "shades-of-grey"] | None = None
    """Evens out the color of the light."""
    common_sharpness: Annotated[float, Field(gt=0)] | None = None
    """No image stays sharper than this variance of the Laplacian at its published size."""

    def canonical(self) -> dict[str, object]:
        """Return the settings as they stand in digests: a remedy only where it is set, so that none changes nothing."""
        plain = self.model_dump(mode="json")
        return {key: value for key, value in plain.items() if key not in REMEDIES or value is not None}


REMEDIES = ("crop_border", "colour_constancy", "common_sharpness")
"""The keys of [render] that remove what depends on the camera and not on the object."""


class Quality(_Part):
    """Thresholds over the probe's raw values; a missing one is not applied."""

    min_side: Annotated[int, Field(ge=1)] | None = None
    min_sharpness: Annotated[float, Field(ge=0)] | None = None
    min_brightness: Annotated[float, Field(ge=0, le=255)] | None = None
    max_brightness: Annotated[float, Field(ge=0, le=255)] | None = None
    min_contrast: Annotated[float, Field(ge=0)] | None = None


class Duplicates(_Part):
    """When two images are the same image."""

    hash: Literal["phash", "dhash", "ahash", "whash"] = "phash"
    radius: Annotated[int, Field(ge=0, le=16)] = 8
    correlation: Annotated[float, Field(ge=0, le=1)] = 0.98
    symmetries: bool = True
    near: bool = True
    """False leaves near duplicates in (they still share a group, so they cannot leak)."""
    tolerance: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Factor on the calibrated limit of the largest local difference between two files of one image, in the build and
    in the audit. Smaller is stricter: fewer images count as the same."""

    def canonical(self) -> dict[str, object]:
        """Return the rules as they stand in digests: the tolerance only where it is not the calibrated one."""
        plain = self.model_dump(mode="json")
        return {key: value for key, value in plain.items() if key != "tolerance" or value != 1.0}


class Conflicts(_Part):
    """What happens to an image with two labels."""

    policy: Literal["reserve", "exclude", "error"] = "reserve"


class Selection(_Part):
    """How many images, in which split."""

    counts: dict[str, int | dict[str, int]] | None = None
    """Split -> images per class; or class -> split -> images."""
    ratios: dict[Split, Share] | None = None
    balance: bool = False
    """With ratios: every class is cut to the size of the smallest."""
    source_split: Literal["respect", "ignore"] = "respect"
    refill_test: bool = False
    """A test (or val) split that is short may take images of the source's own train split."""
    seed: int = 1
    previous: Annotated[str, Field(pattern=r"^(newest|none|v[1-9]\d*)$")] = "newest"
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    """Folds over train and val, by group and class."""

    def canonical(self) -> dict[str, object]:
        """Return the selection as it stands in the recipe's digest: folds only where they are asked for."""
        return self.model_dump(mode="json", exclude={"folds"} if self.folds is None else set())

    def wanted(self, class_name: str) -> dict[Split, int]:
        """Return split -> count for one class; empty where ratios decide."""
        counts = self.counts or {}
        own = counts.get(class_name)
        chosen = own if isinstance(own, dict) else {key: n for key, n in counts.items() if isinstance(n, int)}
        return {split: chosen[split] for split in get_args(Split) if split in chosen}


class Review(_Part):
    """What happens where reviewers disagree."""

    agreement: Literal["newest", "majority", "adjudicator"] = "newest"
    adjudicator: str | None = None


class Audit(_Part):
    """Whether images show people, and the findings that are accepted, each with the reason."""

    people: bool = False
    waive: dict[str, Annotated[str, Field(min_length=8)]] = Field(default_factory=dict)


class Recipe(_Part):
    """How one dataset is built; no other part of the program depends on what it shows.

    Built by ``load_recipe`` from a file; an invalid recipe cannot exist.
    """

    name: str
    title: str
    domain: Literal["dermatology"] | None = None
    """The field whose words the audit, the page, the card and a run use; it changes no image and no digest."""
    description: str = ""
    licence: str | None = None
    sources: Annotated[tuple[AnySource, ...], Field(min_length=1)]
    labels: Labels
    decode: Decode = Decode()
    render: Render = Render()
    quality: Quality = Quality()
    duplicates: Duplicates = Duplicates()
    conflicts: Conflicts = Conflicts()
    selection: Selection
    review: Review = Review()
    audit: Audit = Audit()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, sorted."""
        return tuple(sorted(self.labels.classes))

    def probe_settings(self) -> dict[str, object]:
        """Return what decides a probe's result, in addition to the file's bytes and the probe's version."""
        return {"decode": self.decode.canonical(), "hash": self.duplicates.hash}

    def rendering(self) -> dict[str, object]:
        """Return what decides a published pixel, in addition to the file's bytes: a part of the version's digest."""
        decode = self.decode.model_dump(mode="json")
        return {"render": self.render.canonical(), "tone": decode["tone"]}

    def digest(self) -> str:
        """Return the sha256 of the validated recipe; comments, order, spelled-out defaults and folders do not count.

        The path of a folder depends on the machine; its content is identified by the archives' sha256.
        """
        content = self.model_dump(mode="json", exclude={"domain"})
        for source in content["sources"]:
            source.pop("path", None)
            if source.get("label_column", "") is None:
                del source["label_column"]
            if source["dicom"] is None:
                del source["dicom"]
        for source, rule in zip(content["sources"], self.sources, strict=True):
            if rule.metadata is not None:
                source["metadata"]["columns"] = rule.metadata.canonical_columns()
                if rule.metadata.header:
                    del source["metadata"]["header"]
        content["decode"] = self.decode.canonical()
        content["render"] = self.render.canonical()
        content["duplicates"] = self.duplicates.canonical()
        content["selection"] = self.selection.canonical()
        return digest_of(content)


def load_recipe(folder: Path) -> Recipe:
    """Read and validate ``folder/recipe.toml``; the dataset's name is the folder's.

    Raises
    ------
    CurationError
        One that lists every mistake, each with its key's path and, where one is near, the name that was meant.
    """
    path = folder / "recipe.toml"
    check_name(folder.name)
    try:
        text = path.read_bytes().decode()
        if text.startswith("\ufeff"):
            raise CurationError(
                ErrorCode.RECIPE_INVALID,
                f"{path}: starts with a byte order mark, which TOML does not allow",
                hint="Save it as UTF-8 without one (editors offer `UTF-8` and `UTF-8 with BOM`).",
            )
        raw = tomllib.loads(text)
    except FileNotFoundError:
        raise _no_recipe(folder) from None
    except UnicodeDecodeError as fault:
        raise CurationError(
            ErrorCode.RECIPE_INVALID, f"{path}: not UTF-8 text (byte {fault.start})", hint="Save it as UTF-8."
        ) from None
    except tomllib.TOMLDecodeError as fault:
        raise CurationError(ErrorCode.RECIPE_INVALID, f"{path}: not valid TOML: {fault}") from None
    except OSError as fault:
        raise CurationError(ErrorCode.FILE_UNREADABLE, f"{path}: cannot be read: {fault.strerror}") from None
    return parse_recipe(raw, name=folder.name, base=folder, where=str(path))


def check_name(name: str) -> None:
    """Raise CurationError where a dataset cannot have this name."""
    if not NAME_PATTERN.fullmatch(name) or name == "builds":
        raise CurationError(
            ErrorCode.NAME_INVALID,
            f"{name!r} cannot name a dataset",
            hint="Use lower-case letters, digits, - and _ (64 at most), starting with a letter or digit; not builds.",
        )


def is_class_name(name: str) -> bool:
    """Return whether a class can have this name on every system; Windows keeps some, with any suffix, for devices.

    >>> is_class_name("healthy"), is_class_name("Aux"), is_class_name("con.1"), is_class_name("a/b")
    (True, False, False, False)
    """
    return bool(CLASS_PATTERN.fullmatch(name)) and name.partition(".")[0].rstrip().casefold() not in _DEVICES


def name_classes(labels: Iterable[str]) -> dict[str, str]:
    """Return label -> class, where a label that cannot name a folder of its own gets a name that can.

    Examples
    --------
    >>> name_classes(["=1+1", "Nevus", "a/b", "a-b", "nevus"])
    {'Nevus': 'Nevus', 'a-b': 'a-b', 'nevus': 'nevus 2', '=1+1': '1+1', 'a/b': 'a-b 2'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for label in sorted(labels, key=lambda label: not is_class_name(label)):  # those that can keep theirs
        plain = re.sub(r"^[\W_]+", "", re.sub(r"[^\w .+-]+", "-", label))[:48].strip(" .-") or "class"
        plain = plain if is_class_name(plain) else f"class {plain}"
        name, number = (label if is_class_name(label) else plain), 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain} {number}"
        names[label] = name
        taken.add(name.casefold())
    return names


def parse_recipe(raw: Mapping[str, Any], *, name: str, base: Path, where: str = "recipe") -> Recipe:
    """Validate a recipe that was read from TOML already; ``base`` is where relative paths start."""
    mistakes = list(_cross_check(raw))
    try:
        recipe = Recipe.model_validate({"title": name, **raw, "name": name})
    except ValidationError as fault:
        errors: list[dict[str, Any]] = [dict(error) for error in fault.errors(include_url=False)]
        nested = any(error["loc"][:1] == ("sources",) and error["loc"] != ("sources",) for error in errors)
        # A source with a mistake is dropped by pydantic, which then counts too few sources.
        errors = [error for error in errors if not (nested and error["loc"] == ("sources",))]
        mistakes += [_describe(error) for error in _without_echoes(errors)]
    if mistakes:
        lines = "\n".join(f"  {mistake}" for mistake in sorted(set(mistakes)))
        plural = "mistake" if len(set(mistakes)) == 1 else "mistakes"
        raise CurationError(
            ErrorCode.RECIPE_INVALID,
            f"{where}: {len(set(mistakes))} {plural}\n{lines}",
            hint="`python -m curation init NAME` writes a commented recipe to compare with.",
        )
    sources = tuple(
        source.model_copy(update={"base": base, "path": (base / source.path).resolve()})
        if isinstance(source, FolderSource | BoardSource | ForeignSource) and not is_url(source.path)
        else source.model_copy(update={"base": base})
        for source in recipe.sources
    )
    return recipe.model_copy(update={"sources": sources})


def _no_recipe(folder: Path) -> CurationError:
    known = sorted(path.parent.name for path in folder.parent.glob("*/recipe.toml"))
    near = difflib.get_close_matches(folder.name, known, 1)
    hint = (
        f"Did you mean {near[0]!r}?"
        if near
        else f"Known: {', '.join(known)}."
        if known
        else "Run it where datasets/ is."
    )
    return CurationError(ErrorCode.DATASET_MISSING, f"{folder.parent}: there is no dataset {folder.name!r}", hint=hint)


_UNION_MEMBERS = {"ToneWindow", "GroupColumn", "int", "str"}


def _locate(error: Mapping[str, Any]) -> list[str]:
    """Return the keys that lead to a mistake: pydantic also names the members of a union, which are not keys."""
    location = [str(part) for part in error["loc"] if part not in KINDS]
    return [part for part in location if not re.search(r"[\[(]", part) and part not in _UNION_MEMBERS]


def _without_echoes(errors: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the errors, except those of the other members of a union for a value that was meant for one of them."""
    paths = [_locate(error) for error in errors]
    close = [path for path, error in zip(paths, errors, strict=True) if not error["type"].endswith("_type")]
    for path, error in zip(paths, errors, strict=True):
        is_table = isinstance(error["input"], dict)
        if is_table and any(other[: len(path)] == path and len(other) > len(path) for other in paths):
            continue
        if error["type"].endswith("_type") and path in close:
            continue
        yield error


_PATTERNS = {"previous": "'newest', 'none' or a version such as 'v2'", "dataset": "'owner/name', as in its address"}


def _describe(error: dict[str, Any]) -> str:
    location = _locate(error)
    path, kind, context = ".".join(location), error["type"], error.get("ctx", {})
    if kind == "extra_forbidden" and location[0] == "sources" and len(location) == 3:
        return f"{path}: {_describe_source_key(location[-1], error['loc'])}"
    if kind == "extra_forbidden":
        return f"{path}: unknown key{_did_you_mean(location[-1], _keys_next_to(location))}"
    if kind == "missing":
        return f"{path}: missing"
    if kind == "union_tag_not_found":
        return f"{path}.kind: missing (one of {', '.join(KINDS)})"
    if kind == "union_tag_invalid":
        return f"{path}.kind: {context['tag']!r} is not a kind of source{_did_you_mean(context['tag'], KINDS)}"
    if kind in {"literal_error", "enum"}:
        allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        near = difflib.get_close_matches(str(error["input"]), allowed, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        return f"{path}: {error['input']!r} is not {'one of ' if len(allowed) > 1 else ''}{', '.join(allowed)}{meant}"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = f"{message[0].lower()}{message[1:]}"
    if kind == "string_pattern_mismatch" and location[-1] in _PATTERNS:
        message = f"it must be {_PATTERNS[location[-1]]}"
    message = re.sub(r"dictionary(?: or instance of \w+)?", "table", message).replace("tuple", "list")
    return f"{path}: {message} (it is {_brief(error['input'])})"


def _describe_source_key(key: str, loc: Sequence[object]) -> str:
    """Return why a kind of source does not take a key: it belongs to other kinds, or is misspelled."""
    keys = {
        name: set(kind.model_fields) - {"base"}
        for kind in _source_kinds()
        for name in get_args(kind.model_fields["kind"].annotation)
    }
    own = next((str(part) for part in loc if part in KINDS), None)
    others = [name for name in KINDS if key in keys[name]]
    if others and own is not None:
        return f"not a key of kind {own!r} (of {', '.join(others)})"
    known = keys[own] if own is not None else set().union(*keys.values())
    return f"unknown key{_did_you_mean(key, tuple(sorted(known)))}"


def _source_kinds() -> tuple[type[_Source], ...]:
    kinds: tuple[type[_Source], ...] = get_args(get_args(AnySource)[0])
    return kinds


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _did_you_mean(word: object, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(word), known, 1)
    return f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})" if known else ""


def _keys_next_to(location: list[str]) -> tuple[str, ...]:
    """Return the keys that are known in the table whose unknown key stands at ``location``."""
    tables: dict[str, type[BaseModel]] = {
        "labels": Labels,
        "decode": Decode,
        "tone": ToneWindow,
        "render": Render,
        "quality": Quality,
        "duplicates": Duplicates,
        "conflicts": Conflicts,
        "selection": Selection,
        "review": Review,
        "audit": Audit,
        "metadata": MetadataFile,
        "dicom": DicomTags,
        "group": GroupColumn,
    }
    parents = [part for part in location[:-1] if not part.isdigit()]
    if not parents:
        return tuple(name for name in Recipe.model_fields if name != "name")
    if parents[-2:-1] == ["columns"]:
        return ("from", "role")
    if parents[-1] == "sources":
        return tuple(sorted({name for kind in _source_kinds() for name in kind.model_fields}))
    return tuple(tables[parents[-1]].model_fields) if parents[-1] in tables else ()


def _cross_check(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the mistakes that no single key shows; works on a recipe with other mistakes too."""
    labels, selection = compose(_table(raw, "labels")), compose(_table(raw, "selection"))
    classes = _table(labels, "classes")
    yield from _check_sources(raw.get("sources"))
    if not classes and "classes" in labels and not _is_unlabelled(raw.get("sources")):
        yield "labels.classes: it names no class"
    folders: dict[str, str] = {}
    for name in sorted(classes):
        if not CLASS_PATTERN.fullmatch(name) or name.startswith("context:"):
            yield (
                f"labels.classes.{name}: it becomes a folder's name: only letters, digits, spaces and . + - _ "
                "(64 at most), without a dot or space at its end"
            )
        elif not is_class_name(name):
            yield f"labels.classes.{name}: Windows keeps this name for a device, so that no folder can have it"
        if (other := folders.setdefault(name.casefold(), name)) != name:
            yield f"labels.classes.{name}: on Windows and macOS its folder is that of {other!r}: rename one of them"
    yield from _check_label_map(classes, labels.get("context", ()))
    yield from _check_amounts(selection, tuple(sorted(classes)))
    review = _table(raw, "review")
    if review.get("agreement") == "adjudicator" and not review.get("adjudicator"):
        yield "review.adjudicator: missing (agreement is 'adjudicator')"
    if "name" in raw:
        yield "name: not allowed; the folder's name is the dataset's"


def _is_unlabelled(sources: object) -> bool:
    """Return whether no source has labels, so that a recipe may leave the classes for later."""
    tables = [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []
    return bool(tables) and all(source.get("label") == "" for source in tables)


def _table(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _check_sources(sources: object) -> Iterator[str]:
    seen: set[str] = set()
    roles: dict[str, object] = {}
    for index, source in enumerate(sources if isinstance(sources, list) else []):
        if not isinstance(source, dict):
            continue
        name = str(source.get("name"))
        if name in seen:
            yield f"sources.{index}.name: {name!r} is used twice"
        seen.add(name)
        if source.get("kind") not in KINDS:
            yield from _check_common(source, index)
        metadata = _table(source, "metadata")
        names_label = "(?P<label>" in str(source.get("pattern", "")) or metadata.get("label")
        names_label = names_label or source.get("kind") in get_args(ForeignSource.model_fields["kind"].annotation)
        names_label = names_label or (source.get("kind") == "board" and "pattern" not in source)
        if source.get("label") is None and not names_label:
            yield f"sources.{index}: no label: give `label`, a `pattern` with (?P<label>...) or `metadata.label`"
        group = source.get("group")
        column = group.get("column") if isinstance(group, dict) else None
        columns, tags = _table(metadata, "columns"), _dicom_columns(source)
        if isinstance(column, str) and column not in columns and column not in tags:
            yield f"sources.{index}.group.column: {column!r} is not among the source's metadata.columns"
        yield from _check_columns(columns, where=f"sources.{index}.metadata.columns", roles=roles)
        yield from _check_columns(tags, where=f"sources.{index}.dicom.columns", roles=roles)
        for name in sorted(columns.keys() & tags.keys()):
            yield f"sources.{index}.dicom.columns.{name}: metadata.columns has this name already"


def _dicom_columns(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the columns that a source takes from DICOM tags, those of the default too."""
    if not isinstance(source.get("dicom"), dict):
        return {}
    given = source["dicom"].get("columns")
    return (
        given
        if isinstance(given, dict)
        else {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
    )


def _check_columns(columns: Mapping[str, Any], *, where: str, roles: dict[str, object]) -> Iterator[str]:
    """Yield the mistakes in the names and roles of metadata columns; ``roles`` gathers those of all sources."""
    given: dict[object, str] = {}
    for name, column in columns.items():
        if name in SCHEMA or name in RESERVED_NAMES:
            yield f"{where}.{name}: the manifest, the review or an export uses this name: choose another"
        elif not COLUMN_PATTERN.fullmatch(name):
            yield f"{where}.{name}: a column's name is a letter and then letters, digits and _ (64 at most)"
        spelled = _spell_out(name, column)
        role = spelled.get("role") if isinstance(spelled, dict) else None
        if roles.setdefault(name, role) != role:
            yield f"{where}.{name}: its role is {role!r} here and {roles[name]!r} in another source"
        if role is not None and (other := given.setdefault(role, name)) != name:
            yield f"{where}.{name}: {other!r} has the role {role!r} already"


def _check_common(source: Mapping[str, Any], index: int) -> Iterator[str]:
    """Yield the mistakes in the keys that every kind has: for an unknown kind pydantic checks no key."""
    common = {key: value for key, value in source.items() if key in _Source.model_fields and key != "base"}
    try:
        _Source.model_validate(common)
    except ValidationError as fault:
        yield from (_describe({**error, "loc": ("sources", index, *error["loc"])}) for error in fault.errors())


def _check_label_map(classes: Mapping[str, Any], context: object) -> Iterator[str]:
    owner: dict[str, str] = {}
    for name, labels in sorted(classes.items()):
        for label in _texts(labels):
            if label in owner:
                yield f"labels.classes.{name}: {label!r} is already a label of {owner[label]!r}"
            owner[label] = name
    for label in _texts(context):
        if label in owner:
            yield f"labels.context: {label!r} is also a source label of class {owner[label]!r}"


def _check_amounts(selection: Mapping[str, Any], classes: tuple[str, ...]) -> Iterator[str]:
    counts, ratios = selection.get("counts"), selection.get("ratios")
    if (counts is None) == (ratios is None):
        yield "selection: give either counts or ratios" + ("" if counts is None else ", not both")
    if isinstance(ratios, dict):
        numbers = [share for share in ratios.values() if isinstance(share, int | float)]
        if abs(sum(numbers) - 1) > 1e-9:
            yield f"selection.ratios: they add up to {sum(numbers):g}, not to 1"
    if isinstance(counts, dict):
        yield from _check_counts(counts, classes)


def _check_counts(counts: Mapping[str, Any], classes: tuple[str, ...]) -> Iterator[str]:
    tables = {key: value for key, value in counts.items() if isinstance(value, dict)}
    for key in sorted(set(counts) - set(tables) - set(SPLITS)):
        yield f"selection.counts.{key}: not a split{_did_you_mean(key, SPLITS)}"
    for key in sorted(set(tables) - set(classes)):
        yield f"selection.counts.{key}: not a class{_did_you_mean(key, classes)}"
    for key, table in sorted(tables.items()):
        for split in sorted(set(table) - set(SPLITS)):
            yield f"selection.counts.{key}.{split}: not a split{_did_you_mean(split, SPLITS)}"
    plain = {key: value for key, value in counts.items() if key in SPLITS}
    if not plain and set(classes) - set(tables):
        yield f"selection.counts: nothing for class {', '.join(sorted(set(classes) - set(tables)))}"
    if not any(value for value in (*plain.values(), *(n for table in tables.values() for n in table.values()))):
        yield "selection.counts: no image is asked for"
    every = list(plain.items())
    every += [(f"{key}.{split}", value) for key, table in tables.items() for split, value in table.items()]
    for key, value in sorted(every):
        if isinstance(value, int) and value < 0:
            yield f"selection.counts.{key}: {value} is less than 0"
