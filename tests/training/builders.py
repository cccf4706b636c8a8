"""Builders: drawn lesions and drawn skin, published as a version by the pipeline itself."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from curation.engines import Local
from curation.pipeline import Built, Options, build
from curation.storage.cache import Cache
from curation.versions import Home

RECIPE = """
title = "Drawn spots against drawn skin"
domain = "dermatology"
[[sources]]
name = "drawn"
kind = "folder"
path = "{folder}"
pattern = '(?P<split>train|test)/(?P<label>[^/]+)/[^/]+$'
group = 'skin_\\d+'
[labels]
context = {context}
[labels.classes]
{classes}
[render]
encode = "uniform"
short_side = 64
[selection]
source_split = "respect"
[selection.counts]
train = {train}
test = {test}
"""
TONES = ((236, 196, 170), (214, 160, 130), (182, 126, 96), (140, 92, 66))


def draw_skin(seed: int, *, spot: str | None, side: int = 64) -> Image.Image:
    """Return an image of skin, with a ragged dark spot, a small round mole, or nothing on it."""
    random = np.random.default_rng(seed)
    tone = np.array(TONES[seed % len(TONES)], dtype=np.float64) + random.normal(0, 6, 3)
    grain = random.normal(0, 9, (side, side, 1)) + random.normal(0, 4, (side, side, 3))
    slope = random.normal(0, 0.25, 2) @ np.stack(np.mgrid[:side, :side]).reshape(2, -1)
    pixels = tone + grain + slope.reshape(side, side, 1)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    middle, dark = random.uniform(0.4, 0.6, 2) * side, tuple(int(value) for value in tone * 0.35)
    if spot == "ragged":
        angles = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        reach = random.uniform(0.15, 0.34, 18) * side
        pen.polygon(
            [tuple(middle + r * np.array([np.cos(a), np.sin(a)])) for a, r in zip(angles, reach, strict=True)], dark
        )
    elif spot == "round":
        radius = 0.14 * side
        pen.ellipse([*(middle - radius), *(middle + radius)], dark)
    return image.filter(ImageFilter.GaussianBlur(0.8))


SPOTS = {"spot": "ragged", "skin": None, "mole": "round"}


def draw_folder(
    folder: Path, *, train: int, test: int, first: int = 0, labels: tuple[str, ...] = ("spot", "skin")
) -> None:
    """Draw a source: images of each label, two to a group, and some moles that are no class."""
    counts = {"train": train, "test": test}
    for split, count in counts.items():
        for label in dict.fromkeys((*labels, "mole")):
            place = folder / split / label
            place.mkdir(parents=True, exist_ok=True)
            for number in range(first, first + (count if label in labels else max(2, count // 4))):
                seed = (number + (500 if split == "test" else 0)) * 3 + sorted(SPOTS).index(label)
                name = f"skin_{seed // 6 * 10 + sorted(SPOTS).index(label)}_{number}.png"
                draw_skin(seed, spot=SPOTS[label]).save(place / name)


def publish(
    root: Path, *, name: str = "spots", train: int = 40, test: int = 6, labels: tuple[str, ...] = ("spot", "skin")
) -> Built:
    """Draw a source, write its recipe and build it below ``root/datasets``."""
    folder = root / f"{name}-source"
    shutil.rmtree(folder, ignore_errors=True)
    draw_folder(folder, train=train, test=test, labels=labels)
    home = home_of(root)
    home.dataset(name).mkdir(parents=True, exist_ok=True)
    classes = "\n".join(f'{label} = ["{label}"]' for label in labels)
    text = RECIPE.format(
        context=[] if "mole" in labels else ["mole"], folder=folder.as_posix(), classes=classes, train=train, test=test
    )
    (home.dataset(name) / "recipe.toml").write_text(text, encoding="utf-8")
    return build(name, Options(home=home, cache=Cache(root / "cache"), engine=Local(1)))


def home_of(root: Path) -> Home:
    """Return the home that ``publish`` builds in."""
    return Home(root / "datasets")
