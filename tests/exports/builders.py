"""Builders: a published version whose sources are as hostile as sources can be, and reading an export's digest."""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

from curation import Home, Options, Version, build, load
from curation.dataset.manifest import digest_of
from curation.engines import Local
from curation.storage.cache import Cache
from tests.builders import as_bytes, texture

FORMULA = '=1+1 <script>alert("x")<\n> \uff5c🩺'
"""A source label that is a formula, a script, several lines and no ASCII."""
STRANGER = "@SUM(A1:A9) `context` |x|"
LICENCE = '=cmd|"/c calc"!A1 <script>\nCC-BY-NC-4.0'

HOSTILE = (
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "<script>alert(1)<",
    "two\nlines",
    "🩺",
    "x" * 300,
    "../../../evil",
    "a;b,c\"d'",
)
"""How file names begin; one image each."""

RECIPE = """
title = '<script>alert("title")</script> "quoted" | =1+1'
description = "=1+1 <script> \\u0007 --- \\n# heading"
[[sources]]
name = "src"
kind = "folder"
path = "pictures.zip"
pattern = '(?s)([^/]*)/(?P<label>[^/]+)/'
licence = {licence}
[labels]
context = "*"
[labels.classes]
"1e5 melanoma" = [{formula}]
healthy = ["healthy"]
[render]
short_side = 48
[selection.counts]
train = 5
val = 2
test = 3
"""


def hostile_pictures() -> dict[str, bytes]:
    """Return path -> JPEG bytes: two classes and a context class under names that want to be more than names."""
    files = {f"=in/{FORMULA}/{name}.jpg": as_bytes(texture(place)) for place, name in enumerate(HOSTILE)}
    files |= {f"in/healthy/{name}.jpg": as_bytes(texture(100 + place)) for place, name in enumerate(HOSTILE)}
    files |= {f"-in/{STRANGER}/{name}.jpg": as_bytes(texture(200 + place)) for place, name in enumerate(HOSTILE[:3])}
    return files | {"=in/healthy/=broken.jpg": b"<html>", "in/unlabelled": b""}


def options_in(folder: Path) -> Options:
    """Return options with datasets and cache below a folder."""
    return Options(home=Home(folder / "datasets"), cache=Cache(folder / "cache"), engine=Local(1))


def build_hostile(folder: Path) -> Version:
    """Build and open the version of the hostile images."""
    options = options_in(folder)
    dataset = options.home.dataset("hostile")
    dataset.mkdir(parents=True)
    with zipfile.ZipFile(dataset / "pictures.zip", "w") as archive:
        for path, content in hostile_pictures().items():
            archive.writestr(zipfile.ZipInfo(path), content)
    text = RECIPE.replace("{licence}", json.dumps(LICENCE, ensure_ascii=False)).replace(
        "{formula}", json.dumps(FORMULA, ensure_ascii=False)
    )
    (dataset / "recipe.toml").write_text(text, encoding="utf-8")
    build("hostile", options)
    return load(options.home, "hostile@v1")


def content_of(pictures: Iterable[tuple[str, str, bytes]]) -> str:
    """Return the content digest of (split, label, bytes) of images."""
    return digest_of(sorted((split, label, hashlib.sha256(content).hexdigest()) for split, label, content in pictures))


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
