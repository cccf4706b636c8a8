"""The library works on systems that lack something of this one, and with the file names of all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import as_bytes, texture, tiny_images, write_recipe, write_source

PROJECT = Path(__file__).resolve().parent.parent
# Runs at the start of every Python process of a test, the workers too.
ABSENT = "import sys\nsys.modules.update(dict.fromkeys({names!r}))\n"
NAMES = ("two words.jpg", "back\\slash.jpg", "gr\u00f6\u00dfe.jpg", "C:\\photos\\one.jpg", " leading.jpg", "#1.jpg")
SCRIPT = """
import json, multiprocessing, sys
from pathlib import Path
from curation import Cache, Home, Options, build, explain, verify
from curation.engines import Local
from curation.stages import probe, render

multiprocessing.set_start_method("spawn")
probe.SHARD_FILES = render.SHARD_FILES = 8  # work for several workers
home = Home(Path(sys.argv[1]))
built = build("tiny", Options(home=home, cache=Cache(Path(sys.argv[2])), engine=Local(2)))
ids = [name for name in built.manifest.rows["id"] if name.startswith("src/odd/")]
print(json.dumps({
    "outcome": built.outcome,
    "digest": built.line.digest,
    "problems": [str(problem) for problem in verify(home, "tiny").problems],
    "ids": ids,
    "explained": [[found.id for found in explain(home, "tiny", name)] for name in ids],
    "fcntl": "fcntl" in sys.modules and sys.modules["fcntl"] is not None,
}))
"""


def run(folder: Path, *arguments: str, absent: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, on a system where some modules do not exist."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(ABSENT.format(names=absent))
    return subprocess.run(
        [sys.executable, "-W", "ignore:only soft file lock", *arguments],  # filelock, where neither module exists
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(PROJECT)])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def make_set(folder: Path) -> None:
    """Write a small set, with a class of files whose names are ordinary on one system and odd on another."""
    odd = {f"odd/{name}": as_bytes(texture(300 + number)) for number, name in enumerate(NAMES)}
    write_source(folder / "images", {**tiny_images(), **odd})
    write_recipe(folder / "datasets", images=Path("../../images"))


@pytest.mark.parametrize("absent", [("fcntl", "msvcrt"), ("fcntl", "msvcrt", "pwd", "grp", "resource", "termios")])
def test_the_library_is_imported_where_posix_modules_do_not_exist(tmp_path: Path, absent: tuple[str, ...]) -> None:
    """Windows has no fcntl; Python of this system has no msvcrt either."""
    rooms = "curation, curation.pipeline.build, curation.pipeline.describe, curation.cli, curation.storage.locks"
    done = run(tmp_path, "-c", f"import {rooms}", absent=absent)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_build_is_the_same_without_fcntl_and_under_paths_of_both_kinds(tmp_path: Path) -> None:
    """Relative paths without fcntl and absolute ones with it give one digest, and every file is found by its id."""
    found = []
    for kind, absent in (("relative", ("fcntl", "msvcrt")), ("absolute", ())):
        folder = tmp_path / f"{kind} gr\u00f6\u00dfe"
        make_set(folder)
        places = ["datasets", "cache"] if kind == "relative" else [str(folder / "datasets"), str(folder / "cache")]
        done = run(folder, "-c", SCRIPT, *places, absent=absent)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
        assert found[-1]["fcntl"] == (not absent)
    for result in found:
        assert (result["outcome"], result["problems"]) == ("published", [])
        assert len(result["ids"]) == len(NAMES)
        assert result["explained"] == [[name] for name in result["ids"]]
    assert found[0]["digest"] == found[1]["digest"]
