"""Recipes: what is shipped is valid, and every mistake is named in one run."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from curation.dataset.recipe import REMEDIES, SPLIT_NAMES, AnySource, Recipe, load_recipe, name_classes, parse_recipe
from curation.errors import CurationError, ErrorCode
from curation.init import start_dataset
from curation.versions import Home
from tests.builders import as_bytes, make_recipe, texture, write_source

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
SHIPPED = sorted(path.parent.name for path in DATASETS.glob("*/recipe.toml"))


def parse(**tables: Any) -> Recipe:
    """Return the recipe of two classes with tables replaced; None takes one out."""
    raw: dict[str, Any] = {
        "sources": [{"name": "a", "kind": "kaggle", "dataset": "x/y", "label": "cat"}],
        "labels": {"classes": {"cat": ["cat"], "dog": ["dog"]}},
        "selection": {"counts": {"train": 2}},
    }
    merged = {key: value for key, value in {**raw, **tables}.items() if value is not None}
    return parse_recipe(merged, name="pets", base=Path("/base"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_valid(name: str) -> None:
    """What the project ships can be built."""
    assert load_recipe(DATASETS / name).classes


def test_the_shipped_recipes_are_those_that_are_promised() -> None:
    """The melanoma set, its variant in ratios, and the sample."""
    assert {"melanoma", "melanoma-ratio", "sample"} <= set(SHIPPED)
    melanoma = load_recipe(DATASETS / "melanoma")
    assert {label: melanoma.selection.wanted(label) for label in melanoma.classes} == {
        "healthy": {"train": 430, "test": 16},
        "melanoma": {"train": 430, "test": 16},
    }


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown table": ({"rendr": {}}, ["rendr: unknown key; did you mean 'render'?"]),
    "unknown key": ({"render": {"qualty": 3}}, ["render.qualty: unknown key; did you mean 'quality'?"]),
    "wrong word": (
        {"conflicts": {"policy": "reserved"}},
        ["conflicts.policy: 'reserved' is not one of reserve, exclude, error; did you mean 'reserve'?"],
    ),
    "unknown source": (
        {"sources": [{"name": "a", "kind": "kagle", "label": "cat"}]},
        ["sources.0.kind: 'kagle' is not a kind of source; did you mean 'kaggle'?"],
    ),
    "no kind": ({"sources": [{"name": "a", "label": "x"}]}, ["sources.0.kind: missing"]),
    "no label": ({"sources": [{"name": "a", "kind": "kaggle", "dataset": "x/y"}]}, ["sources.0: no label"]),
    "source twice": (
        {"sources": [{"name": "a", "kind": "kaggle", "dataset": "x/y", "label": "cat"}] * 2},
        ["sources.1.name: 'a' is used twice"],
    ),
    "bad pattern": (
        {"sources": [{"name": "a", "kind": "kaggle", "dataset": "x/y", "pattern": "(?P<label>"}]},
        ["sources.0.pattern: not a regular expression"],
    ),
    "bad pattern of no kind": (
        {"sources": [{"name": "A!", "kind": "foldr", "path": "x", "pattern": "(?P<label>"}]},
        [
            "sources.0.kind: 'foldr' is not a kind of source; did you mean 'folder'?",
            "sources.0.pattern: not a regular expression",
            "sources.0.name: a source's name is lower-case",
        ],
    ),
    "group column": (
        {"sources": [{"name": "a", "kind": "kaggle", "dataset": "x/y", "label": "c", "group": {"column": "lesion"}}]},
        ["sources.0.group.column: 'lesion' is not among the source's metadata.columns"],
    ),
    "label twice": (
        {"labels": {"classes": {"cat": ["a"], "dog": ["a"]}}},
        ["labels.classes.dog: 'a' is already a label of 'cat'"],
    ),
    "class and context": (
        {"labels": {"classes": {"cat": ["a"]}, "context": ["a"]}},
        ["labels.context: 'a' is also a source label of class 'cat'"],
    ),
    "class that escapes": ({"labels": {"classes": {"../x": ["a"]}}}, ["labels.classes.../x"]),
    "class that ends in a dot": ({"labels": {"classes": {"cat.": ["a"]}}}, ["labels.classes.cat."]),
    "classes of one folder": (
        {"labels": {"classes": {"Cat": ["a"], "cat": ["b"]}}},
        ["labels.classes.cat: on Windows and macOS its folder is that of 'Cat'"],
    ),
    "label that is not a text": (
        {"labels": {"classes": {"cat": [["a"]], "dog": ["dog"]}, "context": [[]]}},
        ["labels.classes.cat.0: input should be a valid string", "labels.context.0: input should be a valid string"],
    ),
    "column that is not a text": (
        {"sources": [{"name": "a", "kind": "kaggle", "dataset": "x/y", "label": "c", "group": {"column": []}}]},
        ["sources.0.group.column: input should be a valid string (it is [])"],
    ),
    "path that no file has": (
        {"sources": [{"name": "a", "kind": "folder", "path": "a\0b", "label": "c"}]},
        ["sources.0.path: no file can have this name"],
    ),
    "neither": ({"selection": {}}, ["selection: give either counts or ratios"]),
    "both": (
        {"selection": {"counts": {"train": 1}, "ratios": {"train": 1.0}}},
        ["selection: give either counts or ratios, not both"],
    ),
    "sum": ({"selection": {"ratios": {"train": 0.5}}}, ["selection.ratios: they add up to 0.5, not to 1"]),
    "split": ({"selection": {"counts": {"tran": 3}}}, ["selection.counts.tran: not a split; did you mean 'train'?"]),
    "class": (
        {"selection": {"counts": {"catt": {"train": 3}, "train": 2}}},
        ["selection.counts.catt: not a class; did you mean 'cat'?"],
    ),
    "negative": ({"selection": {"counts": {"train": -1}}}, ["selection.counts.train: -1 is less than 0"]),
    "radius": ({"duplicates": {"radius": 99}}, ["duplicates.radius: input should be less than or equal to 16"]),
    "tolerance of none": ({"duplicates": {"tolerance": 0}}, ["duplicates.tolerance: input should be greater than 0"]),
    "tolerance": (
        {"duplicates": {"tolerance": 4.1}},
        ["duplicates.tolerance: input should be less than or equal to 4"],
    ),
    "adjudicator": ({"review": {"agreement": "adjudicator"}}, ["review.adjudicator: missing"]),
    "name": ({"name": "x"}, ["name: not allowed"]),
    "no sources": ({"sources": []}, ["sources: list should have at least 1 item"]),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_named_by_its_key(mistake: str) -> None:
    """Each mistake gives one line that starts with the key's path."""
    tables, expected = MISTAKES[mistake]
    with pytest.raises(CurationError) as caught:
        parse(**tables)
    assert caught.value.code == ErrorCode.RECIPE_INVALID
    lines = [line.strip() for line in caught.value.message.split("\n")[1:]]
    for text in expected:
        assert any(line.startswith(text) for line in lines), lines


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ({"decode": {"tone": {"low": 5, "high": 3}}}, "decode.tone.high: it must be above low, which is 5 (it is 3)"),
        ({"decode": {"tone": "sclae"}}, "decode.tone: 'sclae' is not scale; did you mean 'scale'?"),
        ({"conflicts": {"policy": "no"}}, "conflicts.policy: 'no' is not one of reserve, exclude, error"),
        (
            {"selection": {"counts": {"cat": {"train": 1.5}, "train": 1}}},
            "selection.counts.cat.train: input should be a valid integer, got a number with a fractional part "
            "(it is 1.5)",
        ),
        ({"labels": {"classes": {"cat": "cat"}}}, "labels.classes.cat: input should be a valid list (it is 'cat')"),
        (
            {"selection": {"counts": {"train": 1}, "previous": "latest"}},
            "selection.previous: it must be 'newest', 'none' or a version such as 'v2' (it is 'latest')",
        ),
    ],
)
def test_one_mistake_is_one_line(tables: dict[str, Any], line: str) -> None:
    """What the other members of a union said of the same value was counted as mistakes of their own."""
    with pytest.raises(CurationError, match="1 mistake\n") as caught:
        parse(**tables)
    assert caught.value.message.split("\n")[1:] == [f"  {line}"]


def test_all_mistakes_come_in_one_run() -> None:
    """Five mistakes in five places are five lines."""
    with pytest.raises(CurationError, match="5 mistakes") as caught:
        parse(
            sources=[{"name": "a", "kind": "kaggle", "datset": "x/y", "dataset": "x/y", "label": "cat"}],
            render={"quality": 101},
            decode={"scale": "half"},
            selection={"counts": {"tset": 1, "train": 2}},
            quality={"min_sid": 3},
        )
    assert len(caught.value.message.split("\n")) == 6


def test_a_recipe_that_is_no_toml_or_is_missing_is_a_clear_error(tmp_path: Path) -> None:
    """The file is named, and for a missing dataset the one that was meant."""
    write_source(tmp_path, {"melanoma/recipe.toml": b"= 1", "latin/recipe.toml": b"title = '\xff'"})
    write_source(tmp_path, {"marked/recipe.toml": b"\xef\xbb\xbftitle = 'x'"})
    expected = {
        "marked": (ErrorCode.RECIPE_INVALID, "byte order mark"),
        "melanoma": (ErrorCode.RECIPE_INVALID, "TOML"),
        "latin": (ErrorCode.RECIPE_INVALID, "UTF-8"),
        "melanomma": (ErrorCode.DATASET_MISSING, "'melanomma'"),
        "..x": (ErrorCode.NAME_INVALID, "'..x'"),
        "builds": (ErrorCode.NAME_INVALID, "'builds'"),
    }
    for name, (code, fact) in expected.items():
        with pytest.raises(CurationError) as caught:
            load_recipe(tmp_path / name)
        assert (caught.value.code, fact in caught.value.message) == (code, True)
        assert name != "melanomma" or "'melanoma'" in str(caught.value.hint)


def test_comments_and_spelled_out_defaults_do_not_change_the_recipes_digest() -> None:
    """The digest is of what the recipe means."""
    assert parse().digest() == parse(render={"quality": 95}).digest()
    assert parse().digest() != parse(render={"quality": 94}).digest()
    here, there = (
        [{"name": "a", "kind": "folder", "path": path, "label": "cat"}] for path in ("/home/anna/x", "/home/ben/x")
    )
    assert parse(sources=here).digest() == parse(sources=there).digest()


def test_the_calibrated_tolerance_is_not_part_of_the_recipes_digest_and_another_one_is() -> None:
    """A recipe from before the key has the digest that it had."""
    assert "tolerance" not in parse().duplicates.canonical()
    assert parse().digest() == parse(duplicates={"tolerance": 1.0}).digest()
    assert parse().digest() != parse(duplicates={"tolerance": 0.5}).digest()


def test_a_relative_folder_starts_at_the_recipe(tmp_path: Path) -> None:
    """Wherever the command is run, the source is the same."""
    source = make_recipe().sources[0]
    assert source.kind == "folder"
    assert source.path == Path("/nowhere/images")


def test_the_template_is_a_valid_recipe_with_its_options_spelled_out(tmp_path: Path) -> None:
    """`init` writes what `build` accepts, and what stands behind a # is valid too."""
    images = write_source(tmp_path / "pictures", {f"{kind}/1.jpg": as_bytes(texture(1)) for kind in ("cat", "dog")})
    path = start_dataset(Home(tmp_path / "datasets"), "pets", images=images).recipe
    recipe = load_recipe(path.parent)
    assert recipe.classes == ("cat", "dog")
    text = path.read_text()
    for key in ("radius = 8", "correlation = 0.98", 'hash = "phash"', 'policy = "reserve"', "quality = 95", "seed = 1"):
        assert f"# {key}" in text
        text = text.replace(f"# {key}", key)
    for table in ("duplicates", "conflicts"):
        text = text.replace(f"# [{table}]", f"[{table}]")
    path.write_text(text)
    assert load_recipe(path.parent) == recipe


def test_the_template_names_every_key(tmp_path: Path) -> None:
    """`init` explains every key of a recipe: none stands only in an error or the audit's advice."""
    text = start_dataset(Home(tmp_path / "datasets"), "pets").recipe.read_text(encoding="utf-8")
    pending: list[Any] = [Recipe]
    missing = []
    while pending:
        kind = pending.pop()
        pending += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {name: field for name, field in kind.model_fields.items() if name not in {"name", "base"}}
            keys = {name: field.alias or name for name, field in fields.items()}
            missing += [
                f"{kind.__name__}.{name}" for name in keys.values() if not re.search(rf"\b{name}\b ?[=\].]", text)
            ]
            pending += [field.annotation for field in fields.values()]
    assert missing == []


def test_remedies_and_waivers_of_the_template_are_valid(tmp_path: Path) -> None:
    """What stands behind their # is taken as it stands."""
    path = start_dataset(Home(tmp_path / "datasets"), "pets").recipe
    text = path.read_text(encoding="utf-8")
    for key in (*REMEDIES, "people", '"quality-lines"', "[audit]", "[audit.waive]"):
        text, found = re.subn(rf"(?m)^# (?={re.escape(key)})", "", text)
        assert found == 1, key
    path.write_text(text, encoding="utf-8")
    recipe = load_recipe(path.parent)
    assert recipe.audit.people
    assert (recipe.render.crop_border, recipe.render.colour_constancy) == (0.08, "shades-of-grey")


@pytest.mark.parametrize(
    ("paths", "labels", "splits"),
    [
        (("train/cat/1.jpg", "Test/cat/2.jpg", "train/dog/3.jpg"), ("cat", "dog"), ("train", "test", "train")),
        (("a/val/cat/1.jpg", "a/training/dog/2.jpg"), ("cat", "dog"), ("val", "train")),
        (("cat/train/1.jpg", "cat/test/2.jpg", "dog/train/3.jpg"), ("cat", "dog"), ("train", "test", "train")),
        (("train/cat/1.jpg", "test/cat/2.jpg", "dog/3.jpg"), ("cat", "dog"), ("train", "test", None)),
        (("train/cat/1.jpg", "dog/2.jpg"), ("cat", "dog"), (None, None)),
        (("cat/train/1.jpg", "dog/train/2.jpg"), ("cat", "dog"), (None, None)),
        (("cat/1.jpg", "dog/2.jpg"), ("cat", "dog"), (None, None)),
    ],
)
def test_init_keeps_the_split_that_folders_have(tmp_path, paths, labels, splits) -> None:
    """Folders called train and test are the source's own split, wherever they stand: its test is never trained on."""
    images = write_source(tmp_path / "pictures", {path: as_bytes(texture(n)) for n, path in enumerate(paths)})
    recipe = load_recipe(start_dataset(Home(tmp_path / "datasets"), "pets", images=images).recipe.parent)
    assert recipe.classes == labels
    (source,) = recipe.sources
    found = [re.search(source.pattern or "", path) for path in paths]
    told = [match.groupdict().get("split") for match in found if match]
    assert [SPLIT_NAMES.get(name.lower()) if name else None for name in told] == list(splits)
    assert {match["label"] for match in found if match} == set(labels)


def test_init_names_a_class_for_every_folder(tmp_path: Path) -> None:
    """A folder with an ampersand, or an accent as macOS spells it, sent the user to write the recipe by hand."""
    names = ("Cat", "cat", "nae\u0308vus", "moles & warts")
    images = write_source(tmp_path / "pictures", {f"{name}/1.jpg": as_bytes(texture(1)) for name in names})
    recipe = load_recipe(start_dataset(Home(tmp_path / "datasets"), "pets", images=images).recipe.parent)
    assert recipe.labels.classes == {
        "Cat": ("Cat",),
        "cat 2": ("cat",),
        "moles - warts": ("moles & warts",),
        "na\u00ebvus": ("na\u00ebvus",),
    }


def test_what_an_operating_system_left_is_no_class(tmp_path: Path) -> None:
    """A zip that macOS packed holds `__MACOSX/._cat.jpg`, and init said that `__MACOSX` cannot name a class."""
    pictures = {f"{kind}/1.jpg": as_bytes(texture(1)) for kind in ("cat", "dog")}
    left = {"__MACOSX/._1.jpg": b"\x00\x05\x16\x07", "__MACOSX/set/._2.png": b"\x00\x05\x16\x07"}
    images = write_source(tmp_path / "pictures", pictures | left)
    assert load_recipe(start_dataset(Home(tmp_path / "datasets"), "pets", images=images).recipe.parent).classes == (
        "cat",
        "dog",
    )


def test_the_comment_on_kind_names_every_kind(tmp_path: Path) -> None:
    """It named five of eight; and it tells that the reserve is for counts alone."""
    text = start_dataset(Home(tmp_path), "pets").recipe.read_text(encoding="utf-8")
    comment = text.partition("kind = ")[2].partition("path = ")[0]
    sources = get_args(get_args(AnySource)[0])
    kinds = {kind for source in sources for kind in get_args(source.model_fields["kind"].annotation)}
    assert len(kinds) == 8
    assert not {kind for kind in kinds if kind not in comment}
    assert "in train only, and with counts only" in text


@pytest.mark.parametrize(
    ("key", "fact"),
    [("dataset", "not a key of kind 'folder' (of kaggle)"), ("patern", "did you mean 'pattern'?")],
)
def test_a_key_of_another_kind_is_named_as_such(key: str, fact: str) -> None:
    """A folder with `dataset` was answered with "did you mean 'dataset'?"."""
    source = {"name": "x", "kind": "folder", "path": "images", "label": "a", key: "owner/name"}
    with pytest.raises(CurationError, match=re.escape(fact)):
        parse(sources=[source])


@pytest.mark.parametrize("name", ["con", "AUX", "nul", "COM1", "lpt9.x"])
def test_a_class_that_windows_cannot_name_is_refused(name: str) -> None:
    """No folder of Windows can have the name of a device; `init` gives such a label another class."""
    with pytest.raises(CurationError, match=f"labels.classes.{re.escape(name)}"):
        parse(labels={"classes": {name: ["a"], "other": ["b"]}})
    assert name_classes([name])[name] == f"class {name}"


def test_init_overwrites_nothing_and_says_what_it_cannot_use(tmp_path: Path) -> None:
    """A second init, a bad name and a folder without classes are refused."""
    home = Home(tmp_path)
    start_dataset(home, "pets")
    flat = write_source(tmp_path / "flat", {"1.jpg": b"x"})
    for name, images, code in (
        ("pets", None, ErrorCode.DATASET_EXISTS),
        ("Pets!", None, ErrorCode.NAME_INVALID),
        ("more", flat, ErrorCode.LAYOUT_UNKNOWN),
        ("more", tmp_path / "nowhere", ErrorCode.SOURCE_MISSING),
    ):
        with pytest.raises(CurationError) as caught:
            start_dataset(home, name, images=images)
        assert caught.value.code is code


def test_a_window_may_begin_below_zero_and_end_at_a_fraction():
    """In the units of the file; whole numbers are one setting however they are written, and the limit is a setting."""
    low = make_recipe(decode={"tone": {"low": -1000, "high": 400}})
    assert low.digest() == make_recipe(decode={"tone": {"low": -1000.0, "high": 400.0}}).digest()
    assert low.rendering()["tone"] == {"low": -1000, "high": 400}
    fraction = make_recipe(decode={"tone": {"low": 0, "high": 0.5}})
    assert fraction.rendering()["tone"] == {"low": 0, "high": 0.5}
    assert make_recipe(decode={"max_megapixels": 400}).probe_settings() != make_recipe().probe_settings()
    assert "max_megapixels" not in str(make_recipe().probe_settings())
    for wrong in ({"low": 5, "high": 5}, {"low": 0, "high": -1}, {"low": 0, "high": float("inf")}):
        with pytest.raises(CurationError):
            make_recipe(decode={"tone": wrong})
