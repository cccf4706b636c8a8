"""Every format is read back by the tool it is for, and gives what was published."""

import csv
import io
import json
import re
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from curation.exports import FORMATS, export
from curation.exports.huggingface import drop_keys, split_head
from curation.exports.rows import gather
from curation.exports.tfrecord import write as write_tfrecord
from curation.exports.webdataset import write as write_webdataset
from tests.exports.builders import FORMULA, LICENCE, content_of, tree

SPLIT_OF = {"train": "train", "validation": "val", "val": "val", "test": "test"}


@pytest.fixture(scope="module")
def exported(version, tmp_path_factory):
    """Return format -> the folder it was exported to."""
    root = tmp_path_factory.mktemp("exports")
    return {name: export(version, name, root / name).folder for name in FORMATS}


def wanted(version) -> str:
    """Return the content digest of a version."""
    return version.description["content_digest"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return Hugging Face's library, with its cache in a folder of the test."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    datasets.disable_progress_bars()
    return datasets


def test_torchvision_finds_the_classes_of_an_imagefolder(exported, version):
    """By its documented rule: classes are the sorted folders of a split, samples the images below them."""
    found, numbering = [], set()
    for split in ("train", "val", "test"):
        root = exported["imagefolder"] / split
        classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        numbering.add(tuple(classes))
        for label in classes:
            files = [path for path in sorted((root / label).rglob("*")) if path.suffix.lower() in {".jpg", ".png"}]
            assert files
            found += [(split, label, path.read_bytes()) for path in files]
    assert numbering == {("1e5 melanoma", "healthy")}
    assert content_of(found) == wanted(version)


def test_torchvision_itself_reads_an_imagefolder(exported, version):
    """Where it is installed, which the project does not ask for: every split, class and byte."""
    tool = pytest.importorskip("torchvision.datasets")
    found = []
    for split in ("train", "val", "test"):
        pictures = tool.ImageFolder(str(exported["imagefolder"] / split))
        found += [(split, pictures.classes[label], Path(path).read_bytes()) for path, label in pictures.samples]
    assert content_of(found) == wanted(version)


def test_hugging_face_reads_an_imagefolder(exported, version, hub):
    """Its ``imagefolder`` loader finds the splits, the classes and the very bytes."""
    sets = hub.load_dataset("imagefolder", data_dir=str(exported["imagefolder"]))
    assert content_of(read_hub(hub, sets)) == wanted(version)


def test_hugging_face_reads_parquet(exported, version, hub):
    """``load_dataset`` gives images, classes by name, and where each image comes from."""
    sets = hub.load_dataset(str(exported["huggingface"]))
    assert sets["train"].features["label"].names == ["1e5 melanoma", "healthy"]
    assert sets["train"][0]["image"].size == (48, 48)
    assert set(sets["test"]["licence"]) == {LICENCE}
    assert sets["test"].features["reserve"].dtype == "bool"
    assert content_of(read_hub(hub, sets)) == wanted(version)


def read_hub(hub, sets) -> list[tuple[str, str, bytes]]:
    """Return (split, label, bytes) of all images that Hugging Face's library gives."""
    found = []
    for split, table in sets.items():
        name = table.features["label"].int2str
        for row in table.cast_column("image", hub.Image(decode=False)):
            content = row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes()
            found.append((SPLIT_OF[split], name(row["label"]), content))
    return found


def test_the_readme_is_a_card_of_the_hub(exported, version):
    """Its head is YAML that names splits and classes; the card follows, and the version it is."""
    yaml = pytest.importorskip("yaml")
    head, body = split_head((exported["huggingface"] / "README.md").read_text(encoding="utf-8"))
    told = yaml.safe_load("\n".join(head))
    splits = [each["split"] for each in told["configs"][0]["data_files"]]
    assert splits == ["train", "validation", "test"]
    names = told["dataset_info"]["features"][1]["dtype"]["class_label"]["names"]
    assert names == {"0": "1e5 melanoma", "1": "healthy"}
    assert f"`{version.digest}`" in body


def test_other_keys_of_a_cards_head_stay():
    """What the card says of splits and types gives way; its licence and everything else stays."""
    head, body = split_head(
        "---\nlicense: cc0-1.0\nconfigs:\n- a: 1\n  b: 2\ntags:\n- x\ndataset_info:\n  y: 1\n---\nText\n"
    )
    assert drop_keys(head, ("configs", "dataset_info")) == ["license: cc0-1.0", "tags:", "- x"]
    assert body == "Text\n"
    assert split_head("Text\n---\n") == ([], "Text\n---\n")


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # it leaves the tar to the garbage collector
def test_webdataset_reads_the_shards(exported, version):
    """Every sample has its image, the number of its class, and its story."""
    webdataset = pytest.importorskip("webdataset")
    found = []
    for split in ("train", "val", "test"):
        shard = str(exported["webdataset"] / f"{split}-000000.tar")
        for sample in webdataset.WebDataset(shard, shardshuffle=False, empty_check=False):
            told = json.loads(sample["json"])
            assert told["split"] == split
            assert told["licence"] == LICENCE
            assert told["curation"]["digest"] == version.digest
            assert int(sample["cls"]) == ["1e5 melanoma", "healthy"].index(told["label"])
            assert sample["__key__"].startswith(told["sha256"][:12])
            found.append((split, told["label"], sample["jpg"]))
    assert content_of(found) == wanted(version)


def test_shards_keep_their_bound(version, tmp_path):
    """No tar is larger than asked, and none is left out."""
    bound = 40 << 10
    write_webdataset(gather(version), tmp_path, shard_bytes=bound)
    shards = sorted(tmp_path.glob("train-*.tar"))
    assert [shard.name for shard in shards] == [f"train-{number:06d}.tar" for number in range(len(shards))]
    assert len(shards) > 1
    assert max(shard.stat().st_size for shard in shards) <= bound
    names = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            names += tar.getnames()
    assert len(names) == len(set(names)) == 3 * 10


def test_a_sample_larger_than_the_bound_has_a_shard_of_its_own(version, tmp_path):
    """A bound that nothing keeps leaves one sample a shard, and loses none."""
    write_tfrecord(gather(version), tmp_path, shard_bytes=1)
    assert len(list(tmp_path.glob("train.tfrecord-*-of-00010"))) == 10


@pytest.mark.slow
def test_tensorflow_reads_the_records(exported, version):
    """``TFRecordDataset`` checks every checksum; the examples parse, and the images decode."""
    tensorflow = pytest.importorskip("tensorflow")
    files = sorted(str(path) for path in exported["tfrecord"].glob("*.tfrecord-*"))
    wants = {
        "image/encoded": tensorflow.io.FixedLenFeature([], tensorflow.string),
        "image/class/label": tensorflow.io.FixedLenFeature([], tensorflow.int64),
        "image/class/text": tensorflow.io.FixedLenFeature([], tensorflow.string),
        "split": tensorflow.io.FixedLenFeature([], tensorflow.string),
        "licence": tensorflow.io.FixedLenFeature([], tensorflow.string),
        "digest": tensorflow.io.FixedLenFeature([], tensorflow.string),
    }
    classes = (exported["tfrecord"] / "classes.txt").read_text(encoding="utf-8").splitlines()
    found = []
    for raw in tensorflow.data.TFRecordDataset(files):
        example = tensorflow.io.parse_single_example(raw, wants)
        text = {name: example[name].numpy().decode() for name in ("split", "image/class/text", "licence", "digest")}
        assert classes[int(example["image/class/label"])] == text["image/class/text"]
        assert (text["licence"], text["digest"]) == (LICENCE, version.digest)
        assert tensorflow.io.decode_jpeg(example["image/encoded"]).shape == (48, 48, 3)
        found.append((text["split"], text["image/class/text"], example["image/encoded"].numpy()))
    assert content_of(found) == wanted(version)


@pytest.mark.slow
def test_fiftyone_reads_its_own_layout(exported, version):
    """FiftyOne's importer for image classification gives each image its class."""
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    found = []
    for split in ("train", "val", "test"):
        folder = str(exported["fiftyone"] / split)
        with importers.FiftyOneImageClassificationDatasetImporter(dataset_dir=folder) as importer:
            assert importer.get_dataset_info()["classes"] == ["1e5 melanoma", "healthy"]
            found += [(split, said.label, Path(path).read_bytes()) for path, _, said in importer]
    assert content_of(found) == wanted(version)


@pytest.mark.slow
def test_fiftyone_reads_coco(exported, version):
    """FiftyOne's COCO reader gives every image one box over all of it, of its class."""
    coco = pytest.importorskip("fiftyone.utils.coco")
    found = []
    for split in ("train", "val", "test"):
        path = str(exported["coco"] / "annotations" / f"instances_{split}.json")
        told, classes, _, images, annotations = coco.load_coco_detection_annotations(path)
        assert told["digest"] == version.digest
        for number, image in images.items():
            (box,) = annotations[number]
            size = (image["width"], image["height"])
            said = box.to_detection(size, classes_map=classes)
            assert said.bounding_box == [0, 0, 1, 1]
            content = (exported["coco"] / split / image["file_name"]).read_bytes()
            assert Image.open(io.BytesIO(content)).size == size
            found.append((split, said.label, content))
    assert content_of(found) == wanted(version)


def test_coco_is_whole_in_itself(exported):
    """Every number that is referred to exists once, from 1, and the licence is named."""
    told = json.loads((exported["coco"] / "annotations" / "instances_test.json").read_text())
    count = len(told["images"])
    assert [image["id"] for image in told["images"]] == list(range(1, count + 1))
    assert [each["image_id"] for each in told["annotations"]] == list(range(1, count + 1))
    assert {each["category_id"] for each in told["annotations"]} == {1, 2}
    assert {tuple(each["bbox"]) for each in told["annotations"]} == {(0, 0, 48, 48)}
    assert {each["area"] for each in told["annotations"]} == {48 * 48}
    assert [(each["id"], each["name"]) for each in told["categories"]] == [(1, "1e5 melanoma"), (2, "healthy")]
    assert told["licenses"] == [{"id": 1, "name": LICENCE, "url": ""}]
    assert {image["license"] for image in told["images"]} == {1}


def test_edge_impulse_finds_its_documented_format(exported, version):
    """Both folders hold an ``info.labels`` that names every image next to it, its label and its category."""
    found = []
    for category in ("training", "testing"):
        folder = exported["edge-impulse"] / category
        told = json.loads((folder / "info.labels").read_text(encoding="utf-8"))
        assert told["version"] == 1
        assert sorted(each["path"] for each in told["files"]) == sorted(path.name for path in folder.glob("*.jpg"))
        for each in told["files"]:
            assert set(each) == {"path", "name", "category", "label", "metadata"}
            assert each["category"] == category
            assert each["label"]["type"] == "label"
            assert all(isinstance(value, str) for value in each["metadata"].values())
            # Its testing set judges, so what was held out for choosing must not get there.
            assert (each["metadata"]["split"] == "test") == (category == "testing")
            content = (folder / each["path"]).read_bytes()
            found.append((each["metadata"]["split"], each["label"]["label"], content))
    assert {split for split, *_ in found} == {"train", "val", "test"}
    assert content_of(found) == wanted(version)


def test_a_csv_reader_finds_every_row_and_no_formula(exported, version):
    """Whatever files and labels are called, every file seen has one row, and no cell starts a formula."""
    tables = {}
    for name in ("samples.csv", "excluded.csv"):
        with (exported["csv"] / name).open(encoding="utf-8", newline="") as stream:
            tables[name] = list(csv.DictReader(stream, strict=True))
    assert len(tables["samples.csv"]) == 20
    assert len(tables["samples.csv"]) + len(tables["excluded.csv"]) == len(version.manifest)
    cells = [cell for table in tables.values() for row in table for cell in row.values()]
    assert not [cell for cell in cells if re.match(r"[=+\-@\t\r\n]", cell)]
    assert {row["source_label"] for row in tables["samples.csv"]} == {f"'{FORMULA}", "healthy"}
    assert {row["licence"] for row in tables["samples.csv"]} == {f"'{LICENCE}"}
    assert any(row["detail"].startswith("'@SUM(") for row in tables["excluded.csv"])
    found = [
        (row["split"], row["label"], (exported["csv"] / row["file"]).read_bytes()) for row in tables["samples.csv"]
    ]
    assert content_of(found) == wanted(version)


@pytest.mark.parametrize("name", FORMATS)
def test_the_version_stands_inside(exported, version, name):
    """Every export says which version it is, by number and digest, and what may be done with it."""
    told = json.loads((exported[name] / "version.json").read_text(encoding="utf-8"))
    assert (told["name"], told["version"], told["digest"]) == ("hostile", 1, version.digest)
    assert told["content_digest"] == wanted(version)
    assert told["licences"] == [LICENCE]
    assert any((exported[name] / card).is_file() for card in ("CARD.md", "README.md"))


@pytest.mark.parametrize("name", FORMATS)
def test_no_name_of_a_stranger_reaches_the_disk(exported, name):
    """The files of an export are called by hashes, splits and classes alone, whatever their sources were called."""
    known = r"(?:[\w./ -]|1e5 melanoma)+"
    assert all(re.fullmatch(known, path) and ".." not in path for path in tree(exported[name]))


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_version_gives_the_same_bytes(exported, version, tmp_path, name):
    """A second export equals the first, byte for byte."""
    again = export(version, name, tmp_path / "again").folder
    assert tree(again) == tree(exported[name])
