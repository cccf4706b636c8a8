"""Measures whole builds as a user starts them: cold, with nothing changed, with one image changed; and ``--help``.

``sample`` is built with an empty cache. ``melanoma`` is built from the mirror of the real sets if it exists, otherwise
from as many synthetic images in two archives. For the changed image, the archives are unpacked to a folder and one JPEG
is replaced. Each build runs in its own process with its own cache and datasets folder.
"""

import argparse
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from measuring import ROOT, SHARED, median_of, print_table, set_aside, timed, write_results

MARKS = {
    "melanoma, cold": 15.0,
    "melanoma, nothing changed": 1.0,
    "melanoma, one image changed": 1.3,
    "sample, from nothing": 20.0,
    "--help": 0.3,
}


def curation(place: Path, *arguments: str) -> dict[str, float]:
    """Run the command line on the folders below ``place``."""
    env = {"CURATION_CACHE": str(place / "cache"), "CURATION_DATASETS": str(place / "datasets")}
    return timed([sys.executable, "-m", "curation", *arguments], env=env)


def prepare(place: Path) -> Path:
    """Copy the recipes and return the mirror to build from."""
    (place / "datasets").mkdir()
    for name in ("melanoma", "sample"):
        (place / "datasets" / name).mkdir()
        shutil.copy(ROOT / "datasets" / name / "recipe.toml", place / "datasets" / name)
    mirror = SHARED / "mirror"
    if not mirror.is_dir():
        return draw_mirror(place / "drawn")
    return mirror


def draw_mirror(mirror: Path) -> Path:
    """Generate as many images as the real sets have, in archives of the same layout."""
    import io

    import numpy as np
    from duplicates import draw_picture, encode

    rng = np.random.default_rng(1)
    (mirror / "kaggle/nodoubttome").mkdir(parents=True)
    (mirror / "figshare/6091007").mkdir(parents=True)
    with zipfile.ZipFile(mirror / "kaggle/nodoubttome/skin-cancer9-classesisic.zip", "w") as archive:
        for split, name, count in (("Train", "melanoma", 500), ("Train", "nevus", 1800), ("Test", "melanoma", 57)):
            for number in range(count):
                picture = encode(draw_picture(rng, (180, 180)))
                archive.writestr(f"Skin cancer ISIC/{split}/{name}/{split}{number:05}.jpg", picture)
    with zipfile.ZipFile(mirror / "figshare/6091007/Texture_Patch_Dataset.zip", "w") as archive:
        for number in range(628):
            buffer = io.BytesIO()
            draw_picture(rng, (128, 128)).save(buffer, "TIFF")
            archive.writestr(f"patch_{number:03}_drawn_0.tif", buffer.getvalue())
    return mirror


def unpack(mirror: Path, target: Path) -> Path:
    """Return a copy of the mirror with every archive unpacked to a folder."""
    for archive in sorted(mirror.rglob("*.zip")):
        kaggle = "kaggle" in archive.parts
        folder = target / archive.relative_to(mirror).parent / (archive.stem if kaggle else "")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    return target


def exchange(folder: Path, turn: int) -> None:
    """Change the pixels of one image, chosen by its position in the listing."""
    from PIL import Image

    path = sorted(folder.rglob("*.jpg"))[turn]
    with Image.open(path) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda v: v // 2).save(path, quality=90)


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of each kind of build."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        mirror = prepare(place)

        def cold(*arguments: str) -> dict[str, float]:
            for part in ("cache", "datasets/builds"):
                set_aside(place / part, place / "aside")
            return curation(place, *arguments)

        build = ("build", "melanoma", "--mirror", str(mirror), "-q")
        found["sample, from nothing"] = median_of(rounds, lambda: cold("build", "sample", "-q"))
        found["melanoma, cold"] = median_of(rounds, lambda: cold(*build))
        found["melanoma, nothing changed"] = median_of(rounds, lambda: curation(place, *build))
        unpacked = unpack(mirror, place / "unpacked")
        build = ("build", "melanoma", "--mirror", str(unpacked), "-q")
        for _ in range(2):  # the first build does not trust the time stamps of files that are only seconds old
            curation(place, *build)
        turns = iter(range(rounds))

        def changed() -> dict[str, float]:
            exchange(unpacked, next(turns))
            return curation(place, *build)

        found["melanoma, one image changed"] = median_of(rounds, changed)
        found["--help"] = median_of(rounds, lambda: curation(place, "--help"))
    return found


def main() -> None:
    """Measure, print, and write ``results/builds.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found = measure(rounds)
    print(f"\nwhole processes, medians of {rounds}")
    print_table(
        ("command", "seconds", "CPU s", "load", "mark s"),
        [(n, f"{m['seconds']:.2f}", f"{m['cpu']:.2f}", f"{m['load']:.1f}", MARKS[n]) for n, m in found.items()],
    )
    write_results("builds", {"rounds": rounds, "medians": found, "marks": MARKS})


if __name__ == "__main__":
    main()
