"""A whole build: published once, the same everywhere, whole after every accident."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curation import Home, Options, build, diff, explain, load, published, show, verify
from curation.cli.build import list_remarks
from curation.dataset.decisions import Decision, append_decisions
from curation.dataset.recipe import load_recipe
from curation.engines import Local
from curation.errors import ErrorCode
from curation.pipeline import STEPS, SilentListener, StageLine
from curation.sources import fetch_all
from curation.sources.synthetic import find_missed, find_wrongly_excluded, read_ground_truth
from curation.storage.cache import Cache
from tests.builders import as_bytes, sha_of, texture, tiny_images, write_recipe, write_source
from tests.disks import mount_disk
from tests.errors import fails_with

PROJECT = Path(__file__).resolve().parent.parent


def options_for(folder: Path, *, workers: int = 1) -> Options:
    """Return options with datasets and cache below a folder."""
    return Options(home=Home(folder / "datasets"), cache=Cache(folder / "cache"), engine=Local(workers))


def make_tiny(folder: Path, *, each: int = 10, train: int = 6, test: int = 2, more: str = "") -> Options:
    """Write images and a recipe below a folder and return the options to build it with."""
    images = write_source(folder / "images", tiny_images(each=each))
    write_recipe(folder / "datasets", images=images, train=train, test=test, more=more)
    return options_for(folder)


def leftovers(folder: Path) -> list[str]:
    """Return the names of temp files and folders anywhere below."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith((".build-", ".draft-", ".gone-")) or path.name.endswith((".part", ".tmp"))
    )


def run_cli(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with datasets and cache below a folder."""
    return subprocess.run(
        command(*arguments), env=surroundings(folder, **environment), capture_output=True, text=True, check=False
    )


def command(*arguments: str) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "curation", *arguments]


def surroundings(folder: Path, **environment: str) -> dict[str, str]:
    """Return the environment that points below a folder."""
    own = {
        "CURATION_DATASETS": str(folder / "datasets"),
        "CURATION_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(PROJECT),
    }
    return {**os.environ, **own, **environment}


def test_a_build_publishes_a_version_that_verifies(tmp_path: Path) -> None:
    """Counts come out, the version verifies from its files alone, and everything it was made from lies next to it."""
    options = make_tiny(tmp_path)
    built = build("tiny", options)
    assert built.outcome == "published"
    assert built.summary.splits == {"train": {"healthy": 6, "melanoma": 6}, "test": {"healthy": 2, "melanoma": 2}}
    assert [line.step for line in built.stages] == [*STEPS, "render", "describe", "commit"]
    assert built.stages[-1].kept + built.stages[-1].excluded == 23
    assert not verify(options.home, "tiny").problems
    assert built.folder is not None
    names = {path.name for path in built.folder.iterdir()}
    assert {"images", "metadata.csv", "manifest.parquet", "version.json", "recipe.toml", "CARD.md"} <= names
    dataset = options.home.dataset("tiny")
    assert (dataset / "CARD.md").read_bytes() == (built.folder / "CARD.md").read_bytes()
    assert len(pl.read_csv(dataset / "versions" / "v1.csv")) == 16


@pytest.mark.slow
def test_what_a_system_left_is_counted_apart_and_leaks_nothing(tmp_path: Path) -> None:
    """Equal Thumbs.db and empty files in train and test were told as leaks, and as files that could not be read."""
    thumbs, empty = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), b""
    files = {
        f"{split}/melanoma/{name}": content
        for split in ("train", "test")
        for name, content in (("Thumbs.db", thumbs), ("._1.jpg", b"\x00\x05\x16\x07" + bytes(80)), ("g1.jpg", empty))
    }
    images = write_source(tmp_path / "images", {**tiny_images(), **files})
    write_recipe(tmp_path / "datasets", images=images)
    built = build("tiny", options_for(tmp_path))
    assert built.summary.system_files == {"AppleDouble (macOS)": 2, "Thumbs.db (Windows)": 2}
    assert built.summary.unreadable == tuple(
        (f"src/{side}/melanoma/g1.jpg", "probe: empty file") for side in ("test", "train")
    )
    assert built.summary.leaks == ()
    told = list_remarks(built.summary, verbose=False)
    assert "- 2 files could not be read" in told
    assert "- ignored 4 files of an operating system or a program: 2 AppleDouble (macOS), 2 Thumbs.db (Windows)" in told
    assert built.folder is not None
    page = (built.folder / "report.html").read_text(encoding="utf-8")
    assert "2 of 29 files" in page
    assert "2 AppleDouble (macOS), 2 Thumbs.db (Windows)" in page
    assert '"rai:dataCollectionMissingData": "2 files' in (built.folder / "croissant.json").read_text(encoding="utf-8")


@pytest.mark.slow
def test_building_again_publishes_nothing(tmp_path: Path) -> None:
    """The same inputs are the same version; not one file is touched."""
    options = make_tiny(tmp_path)
    first = build("tiny", options)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "datasets").rglob("*") if path.is_file()}
    again = build("tiny", options)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "datasets").rglob("*") if path.is_file()}
    assert again.outcome == "unchanged"
    assert again.line == first.line
    assert {path for path in before if before[path] != after.get(path)} <= {options.home.builds("tiny") / ".lock"}


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["tiny", "tiny@v1"])
def test_a_damaged_version_is_not_called_unchanged(tmp_path: Path, reference: str) -> None:
    """A lost image and an edited table are an error that says how to make the version again, and that way works."""
    options = make_tiny(tmp_path)
    built = build("tiny", options)
    assert built.folder is not None
    next((built.folder / "images").rglob("*.jpg")).unlink()
    (built.folder / "metadata.csv").write_text("edited")
    with fails_with(ErrorCode.VERSION_DAMAGED, "jpg: missing", "metadata.csv: changed") as caught:
        build(reference, options)
    assert f"the folder {built.folder}, then `python -m curation build tiny@v1`" in (caught.value.hint or "")
    shutil.rmtree(built.folder)
    assert build("tiny@v1", options).outcome == "restored"
    assert not verify(options.home, "tiny").problems


@pytest.mark.slow
def test_growth_is_a_new_version_that_keeps_its_test(tmp_path: Path) -> None:
    """More images and larger counts make v2; images in test stay there, and equal images are one file on disk."""
    options = make_tiny(tmp_path)
    build("tiny", options)
    images = write_source(tmp_path / "images", {f"melanoma/x{n}.jpg": as_bytes(texture(500 + n)) for n in range(6)})
    write_recipe(tmp_path / "datasets", images=images, train=7)
    second = build("tiny", options)
    assert second.line is not None
    assert second.line.version == 2
    found = diff(options.home, "tiny@v1", "tiny@v2")
    assert {change.kind for change in found.changes} <= {"added", "removed"}
    assert not [change for change in found.changes if (change.before or "").startswith("test/")]
    one, two = load(options.home, "tiny@v1"), load(options.home, "tiny@v2")
    shared = set(one.manifest.kept["file"]) & set(two.manifest.kept["file"])
    assert len(shared) >= 14
    assert all((one.folder / file).stat().st_ino == (two.folder / file).stat().st_ino for file in shared)


@pytest.mark.slow
def test_a_decision_changes_the_next_version_and_says_so(tmp_path: Path) -> None:
    """An exclusion in the ledger is applied, shown by explain, and named by diff."""
    options = make_tiny(tmp_path)
    build("tiny", options)
    sha = load(options.home, "tiny").manifest.kept.filter(pl.col("label") == "melanoma")["sha256"][0]
    ledger = options.home.dataset("tiny") / "decisions.jsonl"
    append_decisions(ledger, [Decision("exclude", sha, "anna", "2026-11-24T10:00:00Z", reason="a ruler")])
    append_decisions(ledger, [Decision("keep", sha_of("gone"), "anna", "2026-11-24T10:00:01Z")])
    built = build("tiny", options)
    assert built.line is not None
    assert built.line.version == 2
    assert any(sha_of("gone")[:12] in note for note in built.notes)
    (story,) = explain(options.home, "tiny@v2", sha)
    assert story.fate == "out: decide: excluded (anna: a ruler)"
    assert any("a ruler" in change.why for change in diff(options.home, "tiny@v1", "tiny@v2").changes)


@pytest.mark.slow
def test_a_build_that_is_an_older_version_again_says_what_a_bare_name_means(tmp_path: Path) -> None:
    """An undone decision leads back to v1 while the bare name went on to mean v2, and nothing said so."""
    options = make_tiny(tmp_path, more='[selection]\nprevious = "none"\n')
    build("tiny", options)
    sha = load(options.home, "tiny").manifest.kept.filter(pl.col("label") == "melanoma")["sha256"][0]
    ledger = options.home.dataset("tiny") / "decisions.jsonl"
    append_decisions(ledger, [Decision("exclude", sha, "anna", "2026-11-24T10:00:00Z", reason="a ruler")])
    second = build("tiny", options)
    append_decisions(ledger, [Decision("undo", sha, "anna", "2026-11-24T10:00:01Z")])
    for outcome in ("unchanged", "restored"):
        again = build("tiny", options)
        assert (again.outcome, again.line and again.line.version) == (outcome, 1)
        assert any("tiny@v1" in note and "v2" in note for note in again.as_json()["notes"])
        shutil.rmtree(options.home.build("tiny", 1))
    assert not any("tiny@v1" in note for note in second.notes)
    assert not build("tiny@v1", options).notes


def test_a_broken_ledger_stops_the_build(tmp_path: Path) -> None:
    """Half of the decisions would be a silent build; the line is named."""
    options = make_tiny(tmp_path)
    (options.home.dataset("tiny") / "decisions.jsonl").write_text('{"action": "exclude"}\n')
    with fails_with(ErrorCode.LEDGER_INVALID, "line 1", "sha256, reviewer, time"):
        build("tiny", options)


@pytest.mark.slow
def test_a_build_that_falls_short_leaves_a_draft_to_look_at(tmp_path: Path) -> None:
    """The error says wanted and had; `show` and `explain` read why; the next good build takes the draft away."""
    options = make_tiny(tmp_path, train=9)
    with fails_with(ErrorCode.COUNT_SHORT, "melanoma", "9", "8"):
        build("tiny", options)
    shown = show(options.home, "tiny@draft")
    assert shown.failed is not None
    assert shown.failed["stage"] == "select"
    assert explain(options.home, "tiny@draft", "m0.jpg")
    assert published(options.home, "tiny") == ()
    write_recipe(tmp_path / "datasets", images=tmp_path / "images", train=8)
    assert build("tiny", options).outcome == "published"
    assert not options.home.draft("tiny").exists()


def test_verify_decodes_every_image(tmp_path: Path) -> None:
    """An image that was cut and closed has an end like a whole one; its pixels are read all the same."""
    options = make_tiny(tmp_path)
    built = build("tiny", options)
    assert built.folder is not None
    image = min((built.folder / "images").rglob("*.jpg"))
    content = image.read_bytes()
    image.unlink()
    image.write_bytes(content[: len(content) * 2 // 3] + b"\xff\xd9")
    assert "image-damaged" in {problem.code for problem in verify(options.home, "tiny").problems}


def with_line_scans(folder: Path, *, train: int) -> Options:
    """Return the options of a tiny dataset with three images that are too long for a JPEG."""
    options = make_tiny(folder, train=train)
    for seed in range(3):
        scan = np.tile(texture(100 + seed, width=40, height=1000), (66, 1, 1))
        write_source(folder / "images", {f"melanoma/scan{seed}.png": as_bytes(scan, "PNG", compress_level=1)})
    return options


@pytest.mark.slow
def test_an_image_that_cannot_be_rendered_is_excluded_and_the_split_chosen_again(tmp_path: Path) -> None:
    """A line scan of 66,000 px passes the probe; it ended the build without its name."""
    options = with_line_scans(tmp_path, train=6)
    built = build("tiny", options)
    assert built.summary.splits == {"train": {"healthy": 6, "melanoma": 6}, "test": {"healthy": 2, "melanoma": 2}}
    assert not verify(options.home, "tiny").problems
    excluded = built.manifest.rows.filter(pl.col("excluded_by") == "render")
    assert excluded["path"].str.starts_with("melanoma/scan").all()
    assert set(excluded.select("reason", "detail").rows()) == {("too-long", "66000 px, > 65500")}
    assert build("tiny", options).outcome == "unchanged"


def test_a_count_that_render_makes_short_leaves_a_draft(tmp_path: Path) -> None:
    """The draft names the images that could not be rendered."""
    options = with_line_scans(tmp_path, train=9)
    write_source(tmp_path / "images", {"healthy/more.jpg": as_bytes(texture(1100))})
    with fails_with(ErrorCode.COUNT_SHORT, "melanoma"):
        build("tiny", options)
    shown = show(options.home, "tiny@draft")
    assert [(each.stage, each.reason, each.rows) for each in shown.reasons if each.stage == "render"] == [
        ("render", "too-long", 3)
    ]
    assert "longer than a JPEG can be" in str(explain(options.home, "tiny@draft", "scan0.png"))


@pytest.mark.parametrize("step", STEPS)
def test_until_stops_after_a_step_and_writes_nothing(tmp_path: Path, step: str) -> None:
    """The result can be inspected before anything is written."""
    options = make_tiny(tmp_path)
    built = build("tiny", options, until=step)  # type: ignore[arg-type]  # one of STEPS
    assert built.outcome == "stopped"
    assert built.stages[-1].step == step
    assert not (tmp_path / "datasets" / "builds").exists()
    assert published(options.home, "tiny") == ()


@pytest.mark.slow
def test_a_dry_run_makes_every_choice_and_tells_the_disk(tmp_path: Path) -> None:
    """The estimate is what the images then take, within a quarter."""
    options = make_tiny(tmp_path)
    planned = build("tiny", options, dry_run=True)
    assert planned.outcome == "planned"
    assert not (tmp_path / "datasets" / "builds").exists()
    built = build("tiny", options)
    assert built.folder is not None
    size = sum(path.stat().st_size for path in (built.folder / "images").rglob("*.jpg"))
    assert planned.estimated_bytes is not None
    assert abs(planned.estimated_bytes - size) < size / 4


@pytest.mark.slow
def test_a_fresh_clone_rebuilds_the_same_version_under_its_number(tmp_path: Path) -> None:
    """With the committed texts and without the files, the build is v1 again, not v2."""
    options = make_tiny(tmp_path)
    first = build("tiny", options)
    clone = tmp_path / "clone"
    shutil.copytree(tmp_path / "datasets" / "tiny", clone / "datasets" / "tiny")
    again = build("tiny", options_for(clone))
    assert again.outcome == "restored"
    assert again.line == first.line
    assert (clone / "datasets/tiny/versions.jsonl").read_bytes() == (
        tmp_path / "datasets/tiny/versions.jsonl"
    ).read_bytes()
    assert not verify(Home(clone / "datasets"), "tiny").problems


@pytest.mark.slow
def test_an_older_version_is_made_again_from_gits_texts(tmp_path: Path) -> None:
    """v1 comes back under its number, bytes and all, though recipe and decisions have moved on."""
    options = make_tiny(tmp_path)
    first = build("tiny", options)
    sha = load(options.home, "tiny").manifest.kept["sha256"][0]
    ledger = options.home.dataset("tiny") / "decisions.jsonl"
    append_decisions(ledger, [Decision("exclude", sha, "anna", "2026-11-24T10:00:00Z")])
    write_recipe(tmp_path / "datasets", images=tmp_path / "images", train=5)
    recipe = options.home.dataset("tiny") / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("short_side = 48", "short_side = 32"))
    assert build("tiny", options).outcome == "published"
    shutil.rmtree(options.home.build("tiny", 1))
    again = build("tiny@v1", options)
    assert again.outcome == "restored"
    assert again.line == first.line
    assert not verify(options.home, "tiny@v1").problems
    assert load(options.home, "tiny@v1").description["content_digest"] == first.line.content_digest  # type: ignore[union-attr]  # just published
    assert build("tiny@v1", options).outcome == "unchanged"


@pytest.mark.slow
def test_an_older_version_comes_back_whatever_the_rules_are_today(tmp_path: Path) -> None:
    """A coarser group rule, renamed classes and a new dispute do not stand in v1's way."""
    options = make_tiny(tmp_path)
    first = build("tiny", options)
    tested = load(options.home, "tiny").manifest.kept.filter(pl.col("split") == "test")["path"][0]
    copy = (tmp_path / "images" / tested).read_bytes()
    write_source(tmp_path / "images", {"nevus/again.jpg": copy})
    recipe = options.home.dataset("tiny") / "recipe.toml"
    text = recipe.read_text().replace("group = 'g\\d+'", "group = '/[a-z]'")
    recipe.write_text(text.replace("healthy = [", "well = ["))
    shutil.rmtree(options.home.builds("tiny"))
    again = build("tiny@v1", options)
    assert again.outcome == "restored"
    assert again.line == first.line
    assert not verify(options.home, "tiny@v1").problems


def test_a_search_that_will_take_long_is_announced_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clumped hashes are announced; what counts as long is lowered here to what a test has."""
    heard: list[str] = []

    class Hearing(SilentListener):
        def note(self, sentence: str) -> None:
            heard.append(sentence)

        def stage(self, line: StageLine) -> None:
            heard.append(line.step)

    make_tiny(tmp_path)
    options = replace(options_for(tmp_path), listener=Hearing())
    steps = list(STEPS[: STEPS.index("dedup") + 1])
    build("tiny", options, until="dedup")
    assert heard == steps
    heard.clear()
    monkeypatch.setattr("curation.hashing.plan.CLUMPED_SKEW", 0.0)
    monkeypatch.setattr("curation.hashing.plan.SLOW_CANDIDATES", 0)
    build("tiny", options, until="dedup")
    assert [*heard[:-2], heard[-1]] == steps
    assert "distinct hashes are clumped" in heard[-2]


PLAIN_SCRIPT = """
from pathlib import Path
from curation import Cache, Home, Options, build
from curation.engines import Local
from curation.stages import probe, render
probe.SHARD_FILES = render.SHARD_FILES = 4  # work for several workers
here = Path(__file__).parent
print(build("tiny", Options(home=Home(here / "datasets"), cache=Cache(here / "cache"), engine=Local(2))).outcome)
"""


def test_a_plain_script_builds_without_a_main_guard(tmp_path: Path) -> None:
    """It hung: its workers ran the script again and waited for the lock that their parent held."""
    make_tiny(tmp_path)
    script = tmp_path / "plain.py"
    script.write_text(PLAIN_SCRIPT)
    run = subprocess.run(
        [sys.executable, str(script)],
        env=surroundings(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "published\n", "")


def test_no_name_leads_out_of_the_datasets(tmp_path: Path) -> None:
    """A dataset is a folder under datasets/, nothing else."""
    options = make_tiny(tmp_path)
    shutil.copytree(options.home.dataset("tiny"), tmp_path / "outside")
    with fails_with(ErrorCode.NAME_INVALID, "../outside"):
        build("../outside", options)


@pytest.mark.slow
def test_an_older_version_whose_images_are_gone_says_how_many(tmp_path: Path) -> None:
    """What no source holds cannot be made again, and nothing half is left."""
    options = make_tiny(tmp_path)
    build("tiny", options)
    sha = load(options.home, "tiny").manifest.kept["path"][0]
    (tmp_path / "images" / sha).unlink()
    shutil.rmtree(options.home.builds("tiny"))
    with fails_with(ErrorCode.ORIGINALS_MISSING, "1 of its 16 "):
        build("tiny@v1", options)
    assert leftovers(tmp_path) == []


SAME_DIGEST = [("1", 1, 1), ("random", 2, 2)]


@pytest.mark.slow
def test_the_digest_is_the_same_everywhere(tmp_path: Path) -> None:
    """Hash seeds, worker counts, the order in which files were made, fresh caches: one digest, one manifest."""
    found = set()
    for hash_seed, shuffle, workers in SAME_DIGEST:
        folder = tmp_path / hash_seed
        files = list(tiny_images(each=40).items())
        random.Random(shuffle).shuffle(files)
        write_source(folder / "images", dict(files))
        write_recipe(folder / "datasets", images=Path("../../images"), train=30, test=5)
        run = run_cli(folder, "build", "tiny", "--json", "--workers", str(workers), PYTHONHASHSEED=hash_seed)
        assert run.returncode == 0, run.stderr
        version = load(Home(folder / "datasets"), "tiny")
        found.add((version.digest, version.description["content_digest"], version.manifest.digest()))
    assert len(found) == 1


KILLED = """
import os, signal, sys
from curation.cli import main
from curation.stages import probe, render

def die(event, arguments):
    if event == "os.rename" and any(sys.argv[1] in str(path) for path in arguments[:2]):
        os.kill(os.getpid(), signal.SIGKILL)

probe.SHARD_FILES = render.SHARD_FILES = 4  # work for several workers
sys.addaudithook(die)
main(["build", "tiny", "--workers", "2"])
"""
POINTS = {"while images are read": "/probe/", "before it is published": "/tiny/v1", "before its line": "versions.jsonl"}


@pytest.fixture(scope="module")
def tiny_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the digest of an undisturbed build of the tiny set."""
    line = build("tiny", make_tiny(tmp_path_factory.mktemp("whole"))).line
    assert line is not None
    return line.digest


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_build_is_finished_by_the_next_run(tmp_path: Path, tiny_digest: str, point: str) -> None:
    """Wherever it is killed, the next run publishes the digest of an undisturbed build and no temp file stays."""
    options = make_tiny(tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", KILLED, POINTS[point]],
        env=surroundings(tmp_path),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert build("tiny", options).outcome == ("unchanged" if point == "before its line" else "published")
    (line,) = published(options.home, "tiny")
    assert line.digest == tiny_digest
    assert leftovers(tmp_path) == []
    assert not verify(options.home, "tiny").problems


@pytest.mark.slow
def test_ctrl_c_is_130_and_breaks_nothing(tmp_path: Path) -> None:
    """An interrupted build reports it in one sentence and the next one finishes."""
    picture = as_bytes(texture(1, width=900, height=700))
    write_source(tmp_path / "images", {f"melanoma/{n}.jpg": picture + str(n).encode() for n in range(2500)})
    write_recipe(tmp_path / "datasets", images=tmp_path / "images", train=1, test=0)
    run = subprocess.Popen(
        command("build", "tiny", "--workers", "1"),
        env=surroundings(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    while not run.stdout.readline().startswith("ingest"):
        pass
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_two_builds_at_once_are_one_version(tmp_path: Path) -> None:
    """The second waits for the first, says for whom, and finds the work done."""
    make_tiny(tmp_path, each=40, train=30)
    runs = [
        subprocess.Popen(
            command("build", "tiny", "--json"),
            env=surroundings(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert len(published(Home(tmp_path / "datasets"), "tiny")) == 1
    assert sorted(json.loads(out)["outcome"] for out, _ in outputs) == ["published", "unchanged"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of 400 KB."""
    with mount_disk(tmp_path / "disk", size="400k") as folder:
        yield folder


@pytest.mark.slow
def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(tmp_path: Path, small_disk: Path) -> None:
    """The build says that the disk is full, leaves no temp file and no version, and works once there is room."""
    options = make_tiny(tmp_path, each=40, train=36)
    shutil.copytree(tmp_path / "datasets", small_disk / "datasets")
    with fails_with(ErrorCode.DISK_FULL):
        build("tiny", replace(options, home=Home(small_disk / "datasets")))
    assert leftovers(small_disk) == []
    assert published(Home(small_disk / "datasets"), "tiny") == ()
    assert build("tiny", options).outcome == "published"


@pytest.mark.slow
def test_a_read_only_cache_is_told_and_not_needed(tmp_path: Path) -> None:
    """A build from a folder works without a cache, and reports that the next one starts from less."""
    options = make_tiny(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    built = build("tiny", replace(options, cache=Cache(tmp_path / "file" / "cache")))
    assert built.outcome == "published"
    assert any("cannot be written" in note for note in built.notes)


def test_a_corrupt_zip_is_named(tmp_path: Path) -> None:
    """A file that is not an archive stops the build with its name; the datasets are as they were."""
    write_recipe(tmp_path / "datasets", images=tmp_path / "images.zip")
    (tmp_path / "images.zip").write_bytes(b"PK\x03\x04" + b"garbage" * 100)
    with fails_with(ErrorCode.ARCHIVE_DAMAGED, "images.zip"):
        build("tiny", options_for(tmp_path))
    assert published(Home(tmp_path / "datasets"), "tiny") == ()


@pytest.mark.slow
def test_five_mistakes_are_five_lines_and_exit_code_1(tmp_path: Path) -> None:
    """The command line names them all on standard error; as JSON too where it was asked for."""
    folder = tmp_path / "datasets" / "bad"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(
        'titel = "x"\n[[sources]]\nname = "a"\nkind = "foldr"\n[labels.classes]\nm = ["m"]\n[selection]\nsed = 1\n'
    )
    run = run_cli(tmp_path, "build", "bad", "--json")
    assert run.returncode == 1
    assert "5 mistakes" in run.stderr
    assert "Traceback" not in run.stderr
    assert "5 mistakes" in json.loads(run.stdout)["error"]


@pytest.mark.slow
def test_every_planted_fault_of_the_sample_is_found_and_no_clean_image_goes(built_sample: Path) -> None:
    """The truth next to the drawn archives is held against the manifest: nothing missed, no clean image excluded."""
    sample = options_for(built_sample)
    recipe = load_recipe(sample.home.dataset("sample"))
    rows = load(sample.home, "sample").manifest.rows
    planted = 0
    for given in fetch_all(recipe.sources, cache=sample.cache):
        truth = read_ground_truth(given.archives[0].path)
        planted += len(truth.faults)
        assert find_missed(truth, rows, source=given.source) == ()
        assert find_wrongly_excluded(truth, rows, source=given.source) == ()
    assert planted >= 60
    assert not verify(sample.home, "sample").problems


REAL = ("build", "melanoma", "--json", "--mirror")


def real_home(folder: Path, name: str = "melanoma", *, change: Sequence[tuple[str, str]] = ()) -> Path:
    """Write the shipped recipe, with some text replaced, below a folder."""
    text = (PROJECT / "datasets" / name / "recipe.toml").read_text()
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    write_source(folder / "datasets" / name, {"recipe.toml": text.encode()})
    return folder


@pytest.mark.slow
def test_the_real_set_comes_out_as_known(tmp_path: Path, mirror: Path) -> None:
    """All 2,985 files, 430 + 430 and 16 + 16, 137 images under two labels and 18 leaks named as such."""
    run = run_cli(real_home(tmp_path), *REAL, str(mirror))
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    summary = told["summary"]
    assert summary["rows"] == 2985
    assert summary["splits"] == {"train": {"healthy": 430, "melanoma": 430}, "test": {"healthy": 16, "melanoma": 16}}
    sides = [tuple(conflict["splits"]) for conflict in summary["conflicts"]]
    assert (sides.count(("train",)), sides.count(("test", "train")), len(sides)) == (137, 18, 155)
    by_bytes = [leak for leak in summary["leaks"] if leak["how"] == "same bytes"]
    assert len(by_bytes) == 18
    assert sum(not leak["touches_classes"] for leak in by_bytes) == 15
    kept = load(Home(tmp_path / "datasets"), "melanoma").manifest.kept
    assert len(summary["reserve"]["melanoma"]) == told["version"]["reserve"] == int(kept["reserve"].sum()) > 0
    assert kept.filter(pl.col("reserve"))["split"].unique().to_list() == ["train"]
    assert not verify(Home(tmp_path / "datasets"), "melanoma").problems


@pytest.mark.slow
def test_the_real_set_without_disputed_images_falls_short_and_says_why(tmp_path: Path, mirror: Path) -> None:
    """430 wanted, fewer had, the disputed ones counted; the draft can be read."""
    change = [('policy = "reserve"', 'policy = "exclude"')]
    run = run_cli(real_home(tmp_path, change=change), *REAL, str(mirror))
    assert run.returncode == 1
    assert "melanoma: train needs 430 and has 356" in run.stderr
    assert "select: disputed" in run.stderr
    home = Home(tmp_path / "datasets")
    assert show(home, "melanoma@draft").rows == 2985
    assert explain(home, "melanoma@draft", "ISIC_0010912.jpg")


def test_the_recipe_tells_how_a_source_is_cited(tmp_path: Path) -> None:
    """The citation stands in the card, in ``version.json`` and in ``croissant.json``, and the audit misses none."""
    options = make_tiny(tmp_path)
    recipe = options.home.dataset("tiny") / "recipe.toml"
    missing = build("tiny", options).folder
    assert missing is not None
    assert "licence-citation" in (missing / "CARD.md").read_text()
    said = "Doe (2026): cats, dogs, skin"
    recipe.write_text(recipe.read_text().replace('kind = "folder"', f'kind = "folder"\ncitation = "{said}"'))
    write_source(tmp_path / "images", {"healthy/late.jpg": as_bytes(texture(900))})
    recipe.write_text(recipe.read_text().replace("train = 6", "train = 7"))
    folder = build("tiny", options).folder
    assert folder is not None
    assert "licence-citation" not in (folder / "CARD.md").read_text()
    assert said in (folder / "version.json").read_text()
    assert said in (folder / "croissant.json").read_text()
    assert "Doe (2026)" in (folder / "CARD.md").read_text()
