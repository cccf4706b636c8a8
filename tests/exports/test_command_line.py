"""The verbs ``export`` and ``import``."""

import json

import pytest

from curation.cli import main
from curation.exports import FORMATS
from tests.builders import as_bytes, texture
from tests.exports.builders import tree


@pytest.fixture
def _home(version, monkeypatch):
    """Let the command line find the hostile version, and keep what it writes apart."""
    monkeypatch.setenv("CURATION_DATASETS", str(version.folder.parents[2]))


@pytest.mark.usefixtures("_home")
@pytest.mark.parametrize("name", FORMATS)
def test_a_version_is_exported(version, tmp_path, capsys, name):
    """One line says what left, as what, and where to."""
    assert main(["export", "hostile@v1", "--to", name, str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"exported hostile@v1, 20 images, as {name} to {tmp_path / 'out'}\n"
    assert tree(tmp_path / "out")


@pytest.mark.usefixtures("_home")
def test_the_result_is_one_json_document(tmp_path, capsys):
    """With ``--json`` standard output can be parsed as a whole."""
    assert main(["export", "hostile", "--to", "csv", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["format"], told["pictures"]) == ("hostile@v1", "csv", 20)


@pytest.mark.usefixtures("_home")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["export", "hostile", "--to", "zip", "{}/out"], 2, "formats: coco, csv"),
        (["export", "hostile", "{}/out"], 2, "--to"),
        (["export", "hostile", "--to", "csv", "{}"], 1, "{}"),
        (["export", "nothing", "--to", "csv", "{}/out"], 1, "'nothing'"),
        (["export", "hostile@draft", "--to", "csv", "{}/out"], 1, "hostile@draft"),
        (["import", "{}", "--as", "new"], 1, "imagefolder, huggingface"),
        (["import", "{}/nowhere", "--as", "new"], 1, "{}/nowhere"),
        (["import", "{}", "--as", "new", "--layout", "coco"], 2, "layouts: imagefolder"),
        (["import", "{}"], 2, "--as"),
    ],
)
def test_a_mistake_is_told_in_a_line(tmp_path, capsys, arguments, code, says):
    """Usage is 2, input at fault is 1; the message says what there is."""
    (tmp_path / "mine.txt").write_text("mine")
    assert main([argument.format(tmp_path) for argument in arguments]) == code
    heard = capsys.readouterr()
    assert says.format(tmp_path) in " ".join((heard.out + heard.err).replace("│", " ").split())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_export_is_imported_and_built(version, tmp_path, capsys, monkeypatch):
    """The three commands bring a version home; what is printed names the digest and the next step."""
    monkeypatch.setenv("CURATION_DATASETS", str(version.folder.parents[2]))
    assert main(["export", "hostile", "--to", "fiftyone", str(tmp_path / "out"), "--quiet"]) == 0
    monkeypatch.setenv("CURATION_DATASETS", str(tmp_path / "datasets"))
    capsys.readouterr()
    assert main(["import", str(tmp_path / "out"), "--as", "again"]) == 0
    said = capsys.readouterr().out
    assert version.description["content_digest"][:12] in said
    assert "next: python -m curation build again" in said
    assert main(["build", "again", "--json", "--workers", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["version"]["content_digest"] == version.description["content_digest"]


def test_renamed_labels_are_told(tmp_path, capsys, monkeypatch):
    """A label that cannot name a folder is printed harmlessly next to the class it became."""
    monkeypatch.setenv("CURATION_DATASETS", str(tmp_path / "datasets"))
    for label in ("=1+1\x1b[2J", "cat"):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "a.jpg").write_bytes(as_bytes(texture(1)))
    assert main(["import", str(tmp_path / "set"), "--as", "new"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "becomes class '1+1- 2J'" in said or "becomes class '1+1-2J'" in said
