"""Collecting leaves whole images under their label and group, and the source `board` reads them into a dataset."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation import Home, Options, build
from curation.board import Frame, collect
from curation.board.messages import BoardVersion
from curation.dataset.recipe import parse_recipe
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.hashing import sha256_hex
from curation.images import decode, to_rgb565
from curation.sources import fetch_all
from curation.storage.cache import Cache
from tests.board.peers import VERSION, draw_frame
from tests.builders import fates


class Camera:
    """A camera that gives drawn frames, one after another, each another one."""

    version = BoardVersion.model_validate(VERSION)

    def __init__(self, *, first: int = 0) -> None:
        self.first = first
        self.taken: list[Frame] = []

    def take_frame(self) -> Frame:
        """Draw the next one."""
        self.taken.append(draw_frame(self.first + len(self.taken)))
        return self.taken[-1]


def gather(folder: Path, label: str, count: int, **more: object) -> tuple[Camera, list[str]]:
    """Collect without waiting, and return the camera and the paths inside the folder."""
    camera = Camera()
    done = list(collect(camera, folder, label, count=count, wait=lambda seconds: None, **more))
    return camera, [picture.path.relative_to(folder).as_posix() for picture in done]


def test_images_are_kept_bit_for_bit(tmp_path):
    """Each file holds the very bytes the camera gave; nothing but images and their lines is left."""
    camera, paths = gather(tmp_path, "melanoma", 3, group="mole-3")
    assert paths == [f"melanoma/mole-3-000{number}.png" for number in (1, 2, 3)]
    for frame, path in zip(camera.taken, paths, strict=True):
        assert to_rgb565(decode((tmp_path / path).read_bytes()).pixels).tobytes() == frame.packed
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["captures.jsonl", *paths]


def test_each_image_has_its_line(tmp_path):
    """When, by which board, with which model and firmware, and the sha256 of the file."""
    _, paths = gather(tmp_path, "melanoma", 2, group="mole-3")
    lines = [json.loads(line) for line in (tmp_path / "captures.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == paths
    assert {(line["board"], line["model"], line["firmware"], line["data"]) for line in lines} == {
        ("peer", "test-0", "0.1.0", "drawn@v1")
    }
    assert [line["sha256"] for line in lines] == [sha256_hex((tmp_path / path).read_bytes()) for path in paths]


def test_nothing_is_ever_overwritten(tmp_path):
    """The same group again goes on counting, also where an image was moved to another label since."""
    gather(tmp_path, "melanoma", 2, group="mole-3")
    (tmp_path / "healthy").mkdir()
    moved = (tmp_path / "melanoma/mole-3-0002.png").rename(tmp_path / "healthy/mole-3-0002.png")
    before = moved.read_bytes()
    _, paths = gather(tmp_path, "melanoma", 2, group="mole-3")
    assert paths == ["melanoma/mole-3-0003.png", "melanoma/mole-3-0004.png"]
    assert moved.read_bytes() == before


def test_without_a_name_the_time_names_the_burst(tmp_path):
    """Two bursts are two groups."""
    _, paths = gather(tmp_path, "healthy", 2)
    groups = {path.rpartition("-")[0] for path in paths}
    assert len(groups) == 1
    assert groups.pop().removeprefix("healthy/").endswith("Z")


@pytest.mark.parametrize(("label", "group"), [("../x", None), ("a/b", None), ("", None), ("ok", "a/b"), ("ok", "")])
def test_names_that_lead_elsewhere_are_refused(tmp_path, label, group):
    """Neither label nor group leaves the folder."""
    with pytest.raises(CurationError) as raised:
        collect(Camera(), tmp_path, label, count=1, group=group)
    assert raised.value.code is ErrorCode.NAME_INVALID
    assert list(tmp_path.iterdir()) == []


def test_a_torn_line_spoils_no_other(tmp_path):
    """After a power cut in the middle of a line the next one begins again."""
    (tmp_path / "captures.jsonl").write_text('{"path": "melanoma/old-0001.png", "la')
    gather(tmp_path, "melanoma", 1, group="new")
    last = (tmp_path / "captures.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["path"] == "melanoma/new-0001.png"


def test_a_folder_that_cannot_be_written(tmp_path):
    """The error names it."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CurationError, match="file"):
        list(collect(Camera(), tmp_path / "file", "melanoma", count=1))


def test_a_camera_that_fails_leaves_what_was_collected(tmp_path):
    """The board is unplugged after two: two whole images, and the error goes on."""

    class Failing(Camera):
        def take_frame(self) -> Frame:
            if len(self.taken) == 2:
                raise CurationError(ErrorCode.BOARD_GONE, "unplugged")
            return super().take_frame()

    with pytest.raises(CurationError) as raised:
        list(collect(Failing(), tmp_path, "melanoma", count=9, wait=lambda seconds: None))
    assert raised.value.code is ErrorCode.BOARD_GONE
    assert len(list(tmp_path.rglob("*.png"))) == 2


COLLECTOR = """\
import sys
from pathlib import Path
from curation.board import collect
from tests.board.test_collecting import Camera
for picture in collect(Camera(), Path(sys.argv[1]), "melanoma", count=100000, every_s=0, group="killed"):
    print(picture.number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_every_image_is_whole(tmp_path, how):
    """What stands under an image's name decodes, its number is used once, and the next collection goes on."""
    project = Path(__file__).resolve().parents[2]
    for _ in range(2):
        running = subprocess.Popen(
            [sys.executable, "-c", COLLECTOR, str(tmp_path)],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(project)},
        )
        assert running.stdout is not None
        for _ in range(5):
            running.stdout.readline()
        time.sleep(0.01)
        running.send_signal(how)
        running.stdout.close()
        running.wait(30)
    gather(tmp_path, "melanoma", 1, group="killed")
    pictures = sorted((tmp_path / "melanoma").iterdir())
    assert len(pictures) > 10
    assert [path.name for path in pictures] == [f"killed-{number:04d}.png" for number in range(1, len(pictures) + 1)]
    for path in pictures:
        assert decode(path.read_bytes()).pixels.shape == (144, 176, 3)
    for line in (tmp_path / "captures.jsonl").read_text().splitlines():
        assert (tmp_path / json.loads(line)["path"]).is_file()


def recipe_for(folder: Path, **more: object):
    """Return a recipe whose only source is a collected folder."""
    raw = {
        "sources": [{"name": "camera", "kind": "board", "path": str(folder), **more}],
        "labels": {"classes": {"healthy": ["healthy"], "melanoma": ["melanoma"]}, "context": "*"},
        "selection": {"ratios": {"train": 0.5, "test": 0.5}},
    }
    return parse_recipe(raw, name="tiny", base=folder)


def test_an_empty_folder_is_no_source(tmp_path):
    """The error gives the command that fills it."""
    (tmp_path / "captures").mkdir()
    with pytest.raises(CurationError, match="captures") as raised:
        fetch_all(recipe_for(tmp_path / "captures").sources, cache=Cache(tmp_path / "cache"))
    assert "--collect LABEL" in raised.value.hint


@pytest.mark.slow
def test_collected_images_become_a_dataset(tmp_path):
    """Labels come from folders, a burst stays on one side of the split, no file is lost, the lines' file is said so."""
    captures = tmp_path / "captures"
    for label in ("healthy", "melanoma"):
        for burst in range(6):
            camera = Camera(first=100 * burst + (50 if label == "melanoma" else 0))
            list(collect(camera, captures, label, count=4, group=f"{label}-{burst}", wait=lambda seconds: None))
    moved = captures / "healthy" / "healthy-5-0001.png"
    moved.rename(captures / "melanoma" / moved.name)
    home = tmp_path / "datasets"
    (home / "mine").mkdir(parents=True)
    (home / "mine" / "recipe.toml").write_text(
        f"""
[[sources]]
name = "camera"
kind = "board"
path = "{captures}"
[labels.classes]
healthy = ["healthy"]
melanoma = ["melanoma"]
[selection.ratios]
train = 0.5
test = 0.5
"""
    )
    built = build("mine", Options(home=Home(home), cache=Cache(tmp_path / "cache"), engine=Local(1)))
    rows = built.manifest.rows
    assert rows.height == 2 * 6 * 4 + 1
    assert fates(rows.filter(rows["path"] == "captures.jsonl")) == [("ingest", "metadata-file", None)]
    pictures = rows.filter(rows["path"] != "captures.jsonl")
    assert pictures["label"].to_list() == [path.partition("/")[0] for path in pictures["path"]]
    kept = pictures.filter(pictures["excluded_by"].is_null())
    assert set(kept["split"]) == {"train", "test"}
    sides: dict[str, set[str]] = {}
    for path, split in kept.select("path", "split").rows():
        sides.setdefault(path.rpartition("/")[2].rpartition("-")[0], set()).add(split)
    assert len(sides) == 12
    assert all(len(splits) == 1 for splits in sides.values())
    assert kept.height > 24
