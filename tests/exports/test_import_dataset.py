"""A foreign set becomes a recipe; an export comes back as what it was."""

import io
import json
import shutil
import tomllib
from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import build, load, verify
from curation.dataset.recipe import is_class_name, load_recipe, name_classes
from curation.errors import CurationError, ErrorCode
from curation.exports import FORMATS, LAYOUTS, export
from curation.exports.import_dataset import import_dataset
from curation.sources.folder_layout import find_tool
from curation.storage.toml_text import quote
from tests.builders import as_bytes, texture, write_source
from tests.exports.builders import FORMULA, LICENCE, content_of, options_in


def pictures(*labels: str, each: int = 4) -> dict[tuple[str, int], bytes]:
    """Return (label, number) -> JPEG bytes."""
    return {
        (label, number): as_bytes(texture(1000 * place + number))
        for place, label in enumerate(labels)
        for number in range(each)
    }


def built(tmp_path, folder, **settings):
    """Adopt a folder as ``adopted``, build it, and return the version."""
    options = options_in(tmp_path)
    import_dataset(options.home, folder, "adopted", **settings)
    build("adopted", options)
    assert not verify(options.home, "adopted").problems
    return load(options.home, "adopted")


def published_content(version) -> list[tuple[str, str, bytes]]:
    """Return (split, label, bytes) of a version's images."""
    rows = version.manifest.kept.select("split", "label", "file").rows()
    return [(split, label, (version.folder / file).read_bytes()) for split, label, file in rows]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_export_comes_back_as_what_it_was(version, tmp_path, layout):
    """Exported, imported and built, a version has the content digest it left with; its licences come along."""
    export(version, layout, tmp_path / "out")
    again = built(tmp_path, tmp_path / "out")
    assert again.description["content_digest"] == version.description["content_digest"]
    assert content_of(published_content(again)) == version.description["content_digest"]
    assert set(again.manifest.kept["licence"]) == {LICENCE}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_import_of_an_import_is_the_same(version, tmp_path, layout):
    """Going round twice changes nothing: the recipes are the same set in the same digest."""
    export(version, layout, tmp_path / "out")
    once = built(tmp_path / "a", tmp_path / "out")
    export(once, layout, tmp_path / "again")
    twice = built(tmp_path / "b", tmp_path / "again")
    assert (twice.digest, twice.description["content_digest"]) == (once.digest, once.description["content_digest"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_found_out_from_its_files(version, tmp_path, layout):
    """The tool that wrote a folder is recognized."""
    assert find_tool(export(version, layout, tmp_path / "out").folder) == layout


def test_a_changed_export_is_no_longer_taken_whole(version, tmp_path):
    """Where images were added or taken away, the set is curated like any other."""
    folder = export(version, "imagefolder", tmp_path / "out").folder
    (folder / "train" / "healthy" / "more.jpg").write_bytes(as_bytes(texture(999)))
    found = import_dataset(options_in(tmp_path).home, folder, "adopted")
    assert found.content_digest is None
    recipe = load_recipe(found.recipe.parent)
    assert recipe.duplicates.near
    assert recipe.selection.ratios


def test_a_foreign_imagefolder_keeps_its_splits(tmp_path):
    """Its own splits stay, under whatever names; duplicates across them do not; and no byte of an image changes."""
    drawn = pictures("cat", "dog")
    files = {
        f"set/{'Testing' if number == 0 else 'TRAIN'}/{label}/{number}.jpg": content
        for (label, number), content in drawn.items()
    }
    files |= {"set/Testing/cat/twin.jpg": drawn["cat", 3], "set/TRAIN/dog/broken.jpg": b"<html>"}
    version = built(tmp_path, write_source(tmp_path / "images", files))
    wanted = [
        ("test" if number in {0, 3} and (label, number) != ("dog", 3) else "train", label, content)
        for (label, number), content in drawn.items()
    ]
    assert content_of(published_content(version)) == content_of(wanted)


def test_an_imagefolder_without_splits_is_shared_out(tmp_path):
    """A set that tells no split gets one by ratio; what macOS left in it is counted for no image."""
    files = {f"{label}/{number}.jpg": content for (label, number), content in pictures("cat", "dog", each=10).items()}
    files |= {"cat/._1.jpg": b"\x00\x05\x16\x07" + bytes(60), "cat/.DS_Store": b"\x00\x00\x00\x01Bud1"}
    options = options_in(tmp_path)
    found = import_dataset(options.home, write_source(tmp_path / "images", files), "adopted")
    assert found.splits == {"none": {"cat": 10, "dog": 10}}
    result = build("adopted", options)
    assert result.summary.splits == {
        split: {"cat": n, "dog": n} for split, n in (("train", 8), ("val", 1), ("test", 1))
    }


@pytest.mark.parametrize("splits", [("train", "test"), ("train", "validation", "test")])
def test_a_set_that_hugging_face_wrote_is_read(tmp_path, monkeypatch, splits):
    """Parquet from ``Dataset.to_parquet``, classes by name, several files, an unlabelled row and one without bytes."""
    hub = pytest.importorskip("datasets")
    hub.disable_progress_bars()
    features = hub.Features({"pic": hub.Image(), "kind": hub.ClassLabel(names=["cat", FORMULA])})
    drawn = pictures("cat", FORMULA, each=len(splits) * 2)
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "outside.png").write_bytes(as_bytes(texture(5)))  # its path leads there, and must not be followed
    monkeypatch.chdir(tmp_path / "set")
    wanted = []
    for place, split in enumerate(splits):
        rows = {"pic": [], "kind": []}
        for label in ("cat", FORMULA):
            for number in (2 * place, 2 * place + 1):
                rows["pic"].append({"bytes": drawn[label, number], "path": None})
                rows["kind"].append(["cat", FORMULA].index(label))
                chosen = "cat" if label == "cat" else name_classes([FORMULA])[FORMULA]
                wanted.append(("val" if split == "validation" else split, chosen, drawn[label, number]))
        rows["pic"] += [
            {"bytes": as_bytes(texture(77 + place)), "path": None},
            {"bytes": None, "path": "../outside.png"},
        ]
        rows["kind"] += [-1, 0]
        table = hub.Dataset.from_dict(rows, features=features)
        table.to_parquet(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet")
    version = built(tmp_path, tmp_path / "set")
    assert content_of(published_content(version)) == content_of(wanted)
    reasons = version.manifest.rejected["reason"].to_list()
    assert sorted(reasons) == ["stored-elsewhere"] * len(splits) + ["unlabelled"] * len(splits)


def test_plain_parquet_of_bytes_and_words_is_read(tmp_path):
    """A table with bytes and a column ``label`` of words is enough; its name tells no split."""
    drawn = pictures("cat", "dog", each=10)
    table = pl.DataFrame({"image": list(drawn.values()), "label": [label for label, _ in drawn]})
    (tmp_path / "set").mkdir()
    table.write_parquet(tmp_path / "set" / "all.parquet")
    version = built(tmp_path, tmp_path / "set")
    assert sorted(content for *_, content in published_content(version)) == sorted(drawn.values())


@pytest.mark.slow
def test_a_set_that_fiftyone_wrote_is_read(tmp_path):
    """The folders that FiftyOne's own exporter writes come in with their classes and splits."""
    exporters = pytest.importorskip("fiftyone.utils.data.exporters")
    labels = pytest.importorskip("fiftyone.core.labels")
    drawn = pictures("cat", "dog")
    wanted = []
    for split, numbers in (("train", (0, 1, 2)), ("val", (3,))):
        folder = str(tmp_path / "set" / split)
        with exporters.FiftyOneImageClassificationDatasetExporter(folder, classes=["cat", "dog"]) as exporter:
            for label in ("cat", "dog"):
                for number in numbers:
                    path = tmp_path / "loose" / f"{label}{number}.jpg"
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(drawn[label, number])
                    exporter.export_sample(str(path), labels.Classification(label=label))
                    wanted.append((split, label, drawn[label, number]))
    assert find_tool(tmp_path / "set") == "fiftyone"
    assert content_of(published_content(built(tmp_path, tmp_path / "set"))) == content_of(wanted)


def test_edge_impulse_labels_may_stand_at_the_root(tmp_path):
    """One ``info.labels`` for all is read; an unlabelled image waits for its label, and a path cannot lead out."""
    drawn = pictures("cat", "dog")
    files = {
        f"{'testing' if number == 0 else 'training'}/{label}.{number}.jpg": content
        for (label, number), content in drawn.items()
    }
    listed = [
        {
            "path": path,
            "category": path.partition("/")[0],
            "label": {"type": "label", "label": path.partition("/")[2].partition(".")[0]},
        }
        for path in files
    ]
    listed[1]["label"] = {"type": "unlabeled"}
    listed.append({"path": "../../../etc/passwd", "category": "training", "label": "cat"})
    files["info.labels"] = json.dumps({"version": 1, "files": listed}).encode()
    version = built(tmp_path, write_source(tmp_path / "set", files))
    wanted = [
        ("test" if number == 0 else "train", label, content)
        for (label, number), content in drawn.items()
        if (label, number) != ("cat", 1)
    ]
    assert content_of(published_content(version)) == content_of(wanted)
    assert "unlabelled" in version.manifest.rejected["reason"].to_list()


@pytest.mark.parametrize(
    ("files", "fact"),
    [
        ({"info.labels": b"{"}, "info.labels"),
        ({"info.labels": b"[1]"}, "info.labels"),
        ({"info.labels": b'{"files": 3}'}, "info.labels"),
        ({"info.labels": b'{"files": [{}]}'}, "info.labels"),
        ({"info.labels": b'{"files": [{"path": "a.jpg", "label": {"type": "multi-label", "labels": []}}]}'}, "a.jpg"),
        ({"labels.json": b'{"classes": [], "labels": 1}', "data/a.jpg": b""}, "labels"),
        ({"labels.json": b'{"classes": ["x"], "labels": {"a": 7}}', "data/a.jpg": b""}, "7"),
        ({"labels.json": b'{"classes": ["x"], "labels": {"a": null}}', "data/a.jpg": b""}, "label"),
        ({"train.parquet": b"PAR1 no"}, "train.parquet"),
    ],
)
def test_a_label_file_that_cannot_be_understood_is_an_error(tmp_path, files, fact):
    """The error names what is wrong, and no recipe is written."""
    (tmp_path / "set").mkdir()
    write_source(tmp_path / "set", files)
    home = options_in(tmp_path).home
    with pytest.raises(CurationError) as caught:
        import_dataset(home, tmp_path / "set", "adopted")
    assert fact in caught.value.message
    assert not home.dataset("adopted").exists()


@pytest.mark.parametrize(
    "files",
    [
        {"loose.jpg": b""},
        {},
        {"train/a.jpg": b"", "annotations/instances_train.json": b"{}"},
        {"train/a.jpg": b"", "images/Val/b.jpg": b""},
        {"images/train/a.jpg": b"", "images/val/b.jpg": b""},
    ],
)
def test_a_folder_without_a_known_layout_is_refused(tmp_path, files):
    """Loose images, an empty folder, COCO, and splits without classes: the hint lists what can be imported."""
    (tmp_path / "set").mkdir()
    write_source(tmp_path / "set", files)
    home = options_in(tmp_path).home
    with pytest.raises(CurationError) as caught:
        import_dataset(home, tmp_path / "set", "adopted")
    assert caught.value.code is ErrorCode.LAYOUT_UNKNOWN
    assert all(layout in (caught.value.hint or "") for layout in LAYOUTS)
    assert not home.dataset("adopted").exists()


def test_an_imagefolder_may_have_its_splits_below_the_classes(tmp_path):
    """cat/train/1.jpg was refused by `import` where `init` had always read it."""
    drawn = pictures("cat", "dog")
    files = {
        f"{label}/{'test' if number == 0 else 'train'}/{number}.jpg": content
        for (label, number), content in drawn.items()
    }
    found = import_dataset(options_in(tmp_path).home, write_source(tmp_path / "images", files), "adopted")
    assert found.splits == {"train": {"cat": 3, "dog": 3}, "test": {"cat": 1, "dog": 1}}


@pytest.mark.parametrize("layout", sorted({*FORMATS} - {*LAYOUTS, "csv"}))  # next to its table csv is an ImageFolder
def test_an_own_export_that_cannot_be_read_back_is_refused(version, tmp_path, layout):
    """Our COCO export came in with the classes "test" and "train"; the error names what can be imported."""
    folder, home = export(version, layout, tmp_path / "out").folder, options_in(tmp_path).home
    for forced in (None, "imagefolder"):
        with pytest.raises(CurationError) as caught:
            import_dataset(home, folder, "adopted", layout=forced)
        assert caught.value.code is ErrorCode.LAYOUT_UNKNOWN
    assert not home.dataset("adopted").exists()


def test_parquet_without_images_is_an_error(tmp_path):
    """A table of numbers is named as such."""
    (tmp_path / "set").mkdir()
    pl.DataFrame({"label": [1]}).write_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(CurationError, match="set"):
        import_dataset(options_in(tmp_path).home, tmp_path / "set", "adopted")


def test_nothing_is_overwritten(version, tmp_path):
    """A dataset of that name stays as it is; a name that cannot be one is refused."""
    exported = export(version, "imagefolder", tmp_path / "out").folder
    home = options_in(tmp_path).home
    import_dataset(home, exported, "adopted")
    for name, folder, code in (
        ("adopted", exported, ErrorCode.DATASET_EXISTS),
        ("../x", exported, ErrorCode.NAME_INVALID),
        ("other", tmp_path / "nowhere", ErrorCode.SOURCE_MISSING),
    ):
        with pytest.raises(CurationError) as caught:
            import_dataset(home, folder, name)
        assert caught.value.code is code


def test_a_hostile_signature_writes_no_line_into_the_recipe(version, tmp_path):
    """What a stranger's version.json says stays inside its comment and its strings."""
    folder = export(version, "imagefolder", tmp_path / "out").folder
    told = json.loads((folder / "version.json").read_text())
    told |= {"name": "x\n[evil]\n", "content_digest": "0\nlicence = 1", "licences": ['"\n[evil]', 7], "version": [1]}
    (folder / "version.json").write_text(json.dumps(told))
    found = import_dataset(options_in(tmp_path).home, folder, "adopted")
    raw = tomllib.loads(found.recipe.read_text(encoding="utf-8"))
    assert "evil" not in raw
    assert raw["sources"][0]["licence"] == '"\n[evil]'


def test_a_missing_folder_stops_the_build(version, tmp_path):
    """A source that was moved away is named, for every layout."""
    options = options_in(tmp_path)
    for layout in LAYOUTS:
        export(version, layout, tmp_path / layout)
        import_dataset(options.home, tmp_path / layout, f"of-{layout}")
        shutil.rmtree(tmp_path / layout)
        with pytest.raises(CurationError, match=layout):
            build(f"of-{layout}", options)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=80)
        | st.sampled_from(["con", "AUX", "nul.1"]),
        unique=True,
        max_size=8,
    )
)
def test_every_label_gets_a_class_of_its_own(labels):
    """Whatever labels are called, each class has a folder of its own on every system, and good ones stay."""
    names = name_classes(labels)
    assert sorted(names) == sorted(labels)
    assert len({name.casefold() for name in names.values()}) == len(labels)
    assert all(map(is_class_name, names.values()))
    alone = Counter(label.casefold() for label in labels)
    good = [label for label in labels if is_class_name(label) and alone[label.casefold()] == 1]
    assert all(names[label] == label for label in good)


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_is_quoted_for_toml(text):
    """TOML reads back what was quoted, from one line."""
    quoted = quote(text)
    assert tomllib.load(io.BytesIO(f"x = {quoted}\n".encode())) == {"x": text}
    assert "\n" not in quoted
