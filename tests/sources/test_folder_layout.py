"""Other people's folders: what `init` and `import` find out about their labels, splits and tables."""

import io
import json
import re
import zipfile
from pathlib import Path

import polars as pl
import pytest

from curation.dataset.recipe import load_recipe
from curation.errors import CurationError, ErrorCode
from curation.exports.import_dataset import import_dataset
from curation.init import start_dataset
from curation.sources.folder_layout import FolderLayout, find_layout
from curation.versions import Home
from tests.builders import as_bytes, texture, write_source

IMAGE = as_bytes(texture(1), "PNG")
JPEG = as_bytes(texture(2))


def expand(spec: str) -> list[str]:
    """Return the folders that ``{a,b}`` stands for."""
    match = re.search(r"\{([^}]*)\}", spec)
    if not match:
        return [spec]
    return [one for word in match[1].split(",") for one in expand(spec[: match.start()] + word + spec[match.end() :])]


def lay_out(folder: Path, *specs: str) -> Path:
    """Write ``path/{a,b}/3``: three images in each of the folders."""
    for spec in specs:
        for one in expand(spec):
            parent, _, count = one.rpartition("/")
            write_source(folder, {f"{parent}/{number}.png": IMAGE for number in range(int(count))})
    return folder


def counts_of(layout: FolderLayout) -> dict[str, dict[str, int]]:
    """Return label -> split -> number of images."""
    return {label: dict(counts) for label, counts in layout.counts.items()}


LAYOUTS = {
    "split folders twice": (
        ("seg_train/seg_train/{a,b}/3", "seg_test/seg_test/{a,b}/2", "seg_pred/seg_pred/4"),
        {"train": 3, "test": 2},
        {"seg_pred": 4},
    ),
    "sets": (("Train Set/{a,b}/3", "Test Set/{a,b}/2"), {"train": 3, "test": 2}, {}),
    "Kaggle's own": (("training_set/training_set/{a,b}/3", "test_set/test_set/{a,b}/2"), {"train": 3, "test": 2}, {}),
    "images": (("train_images/{a,b}/3", "test_images/{a,b}/2"), {"train": 3, "test": 2}, {}),
    "below images": (("images/train/{a,b}/3", "images/test/{a,b}/2"), {"train": 3, "test": 2}, {}),
    "evaluation": (("Training/{a,b}/3", "Evaluation/{a,b}/2"), {"train": 3, "test": 2}, {}),
    "evaluation and test": (("train/{a,b}/3", "eval/{a,b}/1", "test/{a,b}/2"), {"train": 3, "val": 1, "test": 2}, {}),
    "valid": (("train/{a,b}/3", "valid/{a,b}/1", "test/{a,b}/2"), {"train": 3, "val": 1, "test": 2}, {}),
    "competition": (("train/{a,b}/3", "test/5"), {"": 3}, {"test": 5}),
    "unlabelled val": (("train/{a,b}/3", "val/5"), {"": 3}, {"val": 5}),
    "more than splits": (("Train/{a,b}/3", "Test/6", "Meta/2"), {"": 3}, {"Meta": 2, "Test": 6}),
    "another test": (
        ("f/Training/{a,b}/3", "f/Test/{a,b}/2", "f/test-multiple_a/4"),
        {"train": 3, "test": 2},
        {"f/test-multiple_a": 4},
    ),
    "deep": (("train/{a,b}/p1/s1/3", "test/{a,b}/p2/s1/2"), {"train": 3, "test": 2}, {}),
    "years": (("2019/train/{a,b}/3", "2020/test/{a,b}/2"), {"train": 3, "test": 2}, {}),
    "below": (("{a,b}/train/3", "{a,b}/test/2"), {"train": 3, "test": 2}, {}),
    "folds": (("fold1/{a,b}/3", "fold2/{a,b}/2"), {"": 5}, {}),
    "kinds of file": (("color/{a,b}/3", "grayscale/{a,b}/3"), {"": 6}, {}),
    "masks": (("{a,b}/images/3", "{a,b}/masks/3"), {"": 3}, {}),
    "a wrapper and loose images": (("set/{a,b}/3", "set/2"), {"": 3}, {"set": 2}),
}


@pytest.mark.parametrize(("specs", "each", "unlabelled"), LAYOUTS.values(), ids=LAYOUTS)
def test_folders_give_labels_and_splits(tmp_path, specs, each, unlabelled):
    """Classes are found at any depth and splits by all their usual names; images without a label get none."""
    images = lay_out(tmp_path / "set", *specs)
    layout = find_layout(images)
    assert counts_of(layout) == {"a": each, "b": each}
    assert layout.unlabelled == unlabelled
    recipe = load_recipe(start_dataset(Home(tmp_path / "datasets"), "pets", images=images).recipe.parent)
    found: dict[str, int] = {}
    for path in sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png")):
        match = re.search(recipe.sources[0].pattern or "", path)
        if match and match["label"] == "a":
            name = match.groupdict().get("split") or ""
            split = recipe.sources[0].splits.get(name) or layout.splits.get(name, "")
            found[split] = found.get(split, 0) + 1
    assert found == each


@pytest.mark.parametrize("name", ["years", "folds", "kinds of file"])
def test_what_a_source_keeps_apart_is_not_pooled_silently(tmp_path, name):
    """Years, folds and versions of the same images are named in a question."""
    specs, *_ = LAYOUTS[name]
    (question,) = find_layout(lay_out(tmp_path / "set", *specs)).questions
    assert all(folder in question for folder in sorted({spec.partition("/")[0] for spec in specs}))


@pytest.mark.parametrize("spec", ["images_part1/2", "{40X,100X}/2", "{images,masks_of_cells}/2"])
def test_folders_that_look_like_no_class_are_questioned(tmp_path, spec):
    """One folder too deep, too shallow or named `images` is not taken for a class without a question."""
    layout = find_layout(lay_out(tmp_path / "set", spec))
    assert layout.origin == "none" or layout.questions


def test_folders_of_several_levels_are_asked_about(tmp_path):
    """benign/SOB/adenosis could be two classes or four: both are listed, and one name decides."""
    images = lay_out(tmp_path / "set", "{benign,malignant}/SOB/{adenosis,tubular}/p14/40X/3")
    with pytest.raises(CurationError) as caught:
        find_layout(images)
    assert caught.value.code is ErrorCode.LAYOUT_AMBIGUOUS
    assert all(f"{name} (6)" in caught.value.message for name in ("benign", "malignant", "adenosis", "tubular"))
    assert counts_of(find_layout(images, class_folder="benign")) == {"benign": {"": 6}, "malignant": {"": 6}}
    assert counts_of(find_layout(images, class_folder="tubular")) == {"adenosis": {"": 6}, "tubular": {"": 6}}


def test_a_class_may_be_named_like_a_split(tmp_path):
    """Next to cars and planes, `train` is a vehicle."""
    assert sorted(find_layout(lay_out(tmp_path / "set", "{car,plane,train}/3")).counts) == ["car", "plane", "train"]


def test_bytes_decide_what_is_an_image(tmp_path):
    """A class of .jfif files, of .jpe or without suffix was left out; a text named .jpg is not counted."""
    files = {
        f"{label}/{n}{suffix}": JPEG
        for n in range(2)
        for label, suffix in (("cat", ".jfif"), ("dog", ".jpe"), ("owl", ""))
    }
    files["cat/readme.jpg"] = b"<html>"
    layout = find_layout(write_source(tmp_path / "set", files))
    assert counts_of(layout) == {"cat": {"": 2}, "dog": {"": 2}, "owl": {"": 2}}
    assert any("1 .jpg" in note for note in layout.notes)


def test_an_archive_is_read_like_a_folder(tmp_path):
    """Files without a suffix are recognized inside a zip too."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for label in ("cat", "dog"):
            archive.writestr(f"data/{label}/1", IMAGE)
            archive.writestr(f"data/{label}/2.png", IMAGE)
    assert counts_of(find_layout(tmp_path / "set.zip")) == {"cat": {"": 2}, "dog": {"": 2}}


def test_what_programs_leave_is_no_label(tmp_path):
    """Checkpoints, thumbnails and trash are counted as such."""
    images = lay_out(
        tmp_path / "set", "{cat,dog}/2", "cat/.ipynb_checkpoints/1", ".thumbnails/1", ".Trash-1000/files/1"
    )
    layout = find_layout(lay_out(images, "dog/@eaDir/1.jpg/1", "__MACOSX/cat/1"))
    assert counts_of(layout) == {"cat": {"": 2}, "dog": {"": 2}}
    (note,) = layout.notes
    assert all(name in note for name in (".ipynb_checkpoints", ".thumbnails", ".Trash-1000", "@eaDir", "__MACOSX"))


def table(*lines: str, separator: str = ",") -> bytes:
    """Return a table of 8 images."""
    return "\n".join(line.replace(",", separator) for line in lines).encode()


ROWS = [(f"img{number}", ("mélanome", "naevus")[number % 2], f"p{number // 2}") for number in range(8)]
PLAIN = table("image,dx,patient", *(",".join(row) for row in ROWS))
HOT = [f"img{n}.png,{1 - n % 2}.0,{n % 2}.0" for n in range(8)]
TABLES = {
    "comma": ("t.csv", PLAIN, "stem"),
    "semicolon": ("t.csv", PLAIN.replace(b",", b";"), "stem"),
    "tab": ("t.tsv", PLAIN.replace(b",", b"\t"), "stem"),
    "Latin-1": ("t.csv", PLAIN.decode().encode("latin-1"), "stem"),
    "UTF-16": ("t.csv", PLAIN.decode().encode("utf-16"), "stem"),
    "no header": ("t.csv", re.sub(rb",p\d", b"", PLAIN.partition(b"\n")[2]), "stem"),
    "names": ("t.csv", re.sub(rb"(img\d)", rb"\1.png", PLAIN), "name"),
    "backslashes": ("t.csv", re.sub(rb"(img\d)", rb"pics\\\1.png", PLAIN), "path"),
    "paths without suffix": ("t.csv", re.sub(rb"(img\d)", rb"pics/\1", PLAIN), "path"),
    "JSON": (
        "t.json",
        json.dumps([dict(zip(("image", "dx", "n"), row, strict=True)) for row in ROWS]).encode(),
        "stem",
    ),
    "JSON of names": ("t.json", json.dumps({f"{name}.png": label for name, label, _ in ROWS}).encode(), "name"),
    "JSON lines": (
        "t.jsonl",
        "\n".join(
            json.dumps({"image": a, "dx": b, "n": i if i > 6 else str(i)}) for i, (a, b, _) in enumerate(ROWS)
        ).encode(),
        "stem",
    ),
}


@pytest.mark.parametrize(("file", "content", "match"), TABLES.values(), ids=TABLES)
def test_a_table_labels_the_images(tmp_path, file, content, match):
    """Whatever its delimiter, encoding, header or spelling of names, its recipe gives each image its label."""
    images = write_source(tmp_path / "set", {f"pics/{name}.png": IMAGE for name, *_ in ROWS} | {file: content})
    layout = find_layout(images)
    assert counts_of(layout) == {"mélanome": {"": 4}, "naevus": {"": 4}}
    assert layout.table is not None
    assert (layout.table.file, layout.table.match) == (file, match)
    recipe = load_recipe(start_dataset(Home(tmp_path / "datasets"), "pets", images=images).recipe.parent)
    assert recipe.sources[0].metadata is not None
    assert recipe.sources[0].metadata.header is not (match == "stem" and layout.table.key == "column_1")


def test_a_table_of_zeros_and_ones_gives_the_label(tmp_path):
    """ISIC's one-hot columns are one label; several ones in a row, and shares, are named and not taken."""
    pictures = {f"img{n}.png": IMAGE for n in range(8)}
    layout = find_layout(write_source(tmp_path / "hot", pictures | {"t.csv": table("image,MEL,NV", *HOT)}))
    assert counts_of(layout) == {"MEL": {"": 4}, "NV": {"": 4}}
    several = [f"img{n}.png,1,{n % 2},{n % 3 // 2}" for n in range(8)]
    shares = [f"img{n}.png,0.{n + 1},0.{9 - n}" for n in range(8)]
    for name, lines, word in (("many", ["image,a,b,c", *several], "several"), ("soft", ["image,a,b", *shares], "soft")):
        layout = find_layout(write_source(tmp_path / name, pictures | {"t.csv": table(*lines)}))
        assert layout.origin == "none"
        assert any(word in note for note in layout.notes)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([f"img{n}.png,{'a|b' if n % 2 else 'a'}" for n in range(8)] + ["x.png,b"], "several labels"),
        ([f"img{n // 2}.png,{'ab'[n % 2]}" for n in range(16)], "different labels"),
    ],
)
def test_several_labels_an_image_are_named(tmp_path, lines, word):
    """This program takes one label an image, and states it where a table has more."""
    pictures = {f"img{n}.png": IMAGE for n in range(8)}
    layout = find_layout(write_source(tmp_path / "set", pictures | {"t.csv": table("image,label", *lines)}))
    assert layout.origin == "none"
    assert any(word in note for note in layout.notes)


def test_several_columns_are_asked_about(tmp_path):
    """Where no column is named like a label, both are listed, and an option decides."""
    lines = [f"img{n}.png,{'ab'[n % 2]},{'cd'[n // 4]}" for n in range(8)]
    images = write_source(
        tmp_path / "set", {f"img{n}.png": IMAGE for n in range(8)} | {"t.csv": table("image,wing,beak", *lines)}
    )
    with pytest.raises(CurationError, match="wing, beak") as caught:
        find_layout(images)
    assert caught.value.code is ErrorCode.LAYOUT_AMBIGUOUS
    assert sorted(find_layout(images, label_column="beak").counts) == ["c", "d"]


def test_boxes_and_masks_are_named(tmp_path):
    """Annotations of parts of images are not what this program does."""
    files = {f"{label}/{n}.jpg": JPEG for label in "ab" for n in range(2)}
    files |= {"annotations/instances.json": b"{}", "boxes.csv": table("image,xmin,ymin", "0.jpg,1,2", "1.jpg,2,3")}
    notes = find_layout(write_source(tmp_path / "set", files)).notes
    assert any("Boxes" in note for note in notes)


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        ([f"train/{label}.{n}.jpg" for label in ("cat", "dog") for n in range(3)], {"cat": {"": 3}, "dog": {"": 3}}),
        (
            [f"{label}_{n}.jpg" for label in ("great_dane", "pug") for n in range(3)],
            {"great_dane": {"": 3}, "pug": {"": 3}},
        ),
        ([f"{n:04d}_{label}.jpg" for n, label in enumerate(["cat", "dog"] * 3)], {"cat": {"": 3}, "dog": {"": 3}}),
        (
            [f"{side}/{label}{n}.jpg" for side in ("train", "test") for label in ("cat", "dog") for n in range(2)],
            {"cat": {"train": 2, "test": 2}, "dog": {"train": 2, "test": 2}},
        ),
    ],
)
def test_names_of_files_give_labels(tmp_path, names, counts):
    """cat.0.jpg is a cat; the competition's test images next to them stay without a label."""
    layout = find_layout(
        write_source(tmp_path / "set", dict.fromkeys([*names, "unlabelled/1.jpg", "unlabelled/2.jpg"], JPEG))
    )
    assert (layout.origin, counts_of(layout)) == ("names", counts)
    assert layout.unlabelled == {"unlabelled": 2}


def test_images_without_labels_keep_their_splits(tmp_path):
    """Numbered images have no labels: the recipe states it, names the classes to give, and keeps the split folders."""
    images = write_source(
        tmp_path / "set", {f"{side}/IMG_{n}.jpg": JPEG for side in ("train", "test") for n in range(3)}
    )
    started = start_dataset(Home(tmp_path / "datasets"), "pets", images=images, classes=("cat", "dog"))
    recipe = load_recipe(started.recipe.parent)
    assert started.layout is not None
    assert (started.layout.origin, dict(started.layout.unlabelled)) == ("none", {"test": 3, "train": 3})
    assert (recipe.sources[0].label, recipe.classes) == ("", ("cat", "dog"))
    found = re.search(recipe.sources[0].pattern or "", "test/IMG_1.jpg")
    assert found is not None
    assert found["split"] == "test"


def test_import_finds_the_same(tmp_path):
    """`import` and `init` share one function: a table's labels, and a competition's test without a label."""
    images = write_source(tmp_path / "set", {f"pics/{name}.png": IMAGE for name, *_ in ROWS} | {"t.csv": PLAIN})
    found = import_dataset(Home(tmp_path / "datasets"), images, "cells")
    assert found.splits == {"none": {"mélanome": 4, "naevus": 4}}
    recipe = load_recipe(found.recipe.parent)
    assert recipe.sources[0].metadata is not None
    other = import_dataset(Home(tmp_path / "datasets"), lay_out(tmp_path / "c", "train/{cat,dog}/3", "test/4"), "pets")
    assert other.splits == {"train": {"cat": 3, "dog": 3}}
    assert other.tree is not None
    assert dict(other.tree.unlabelled) == {"test": 4}


def parquet(folder: Path, name: str, features: dict[str, list[str]]) -> Path:
    """Write a Hugging Face table with one image and these ClassLabels."""
    info = {"info": {"features": {key: {"_type": "ClassLabel", "names": names} for key, names in features.items()}}}
    frame = pl.DataFrame({"image": [IMAGE, JPEG], **{key: [0, 1] for key in features}})
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata={"huggingface": json.dumps(info)})
    return write_source(folder, {name: buffer.getvalue()})


def test_of_hugging_face_features_the_label_is_taken(tmp_path):
    """`label` goes before a ClassLabel that sorts first; without it several are asked about."""
    home = Home(tmp_path / "datasets")
    found = import_dataset(
        home, parquet(tmp_path / "a", "train.parquet", {"breed": ["x", "y"], "label": ["cat", "dog"]}), "a"
    )
    assert sorted(found.classes) == ["cat", "dog"]
    unclear = parquet(tmp_path / "b", "train.parquet", {"breed": ["x", "y"], "coat": ["long", "short"]})
    with pytest.raises(CurationError, match="breed, coat") as caught:
        import_dataset(home, unclear, "b")
    assert caught.value.code is ErrorCode.LAYOUT_AMBIGUOUS
    named = import_dataset(home, unclear, "b", label_column="coat")
    assert sorted(named.classes) == ["long", "short"]
    assert load_recipe(named.recipe.parent).sources[0].model_dump()["label_column"] == "coat"


def test_an_unknown_split_of_hugging_face_is_refused(tmp_path):
    """A split named "held_back" was dropped silently, so that its images were trained on."""
    folder = parquet(tmp_path / "a", "data/held_back-00000-of-00001.parquet", {"label": ["cat", "dog"]})
    with pytest.raises(CurationError, match="held_back") as caught:
        import_dataset(Home(tmp_path / "datasets"), folder, "a")
    assert caught.value.code is ErrorCode.SPLIT_UNKNOWN
