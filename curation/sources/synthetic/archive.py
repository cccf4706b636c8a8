"""Draws a source into one zip, whose bytes are a function of the settings (and of the libraries that encode)."""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from curation.errors import CurationError, ErrorCode
from curation.sources.synthetic.ground_truth import GroundTruth, ground_truth_path
from curation.sources.synthetic.images import Pixels, draw_lesion, draw_skin
from curation.sources.synthetic.near_duplicate_rejection import DrawnImages, draw_distinct
from curation.sources.synthetic.plan import Scene, SyntheticSettings, describe_ground_truth, plan_scenes
from curation.storage.atomic_files import write_atomically

SMALLEST, LARGEST = 32, 4096


def draw(settings: SyntheticSettings, archive: Path, *, advance: Callable[[int], None] | None = None) -> GroundTruth:
    """Draw a source into a zip, and write its ground truth next to it (``ground_truth_path``).

    Parameters
    ----------
    settings : SyntheticSettings
        The recipe's source of kind ``drawn``.
    archive : Path
        Where the zip goes; an earlier one is replaced.
    advance : callable, optional
        Called with the bytes of each file as it is drawn.

    Returns
    -------
    GroundTruth
        The planted faults and the clean images.

    Raises
    ------
    CurationError
        Where the size is not between 32 and 4096 pixels a side.
    """
    if not all(SMALLEST <= side <= LARGEST for side in settings.size):
        width, height = settings.size
        raise CurationError(
            ErrorCode.RECIPE_INVALID,
            f"images of {width}x{height} pixels cannot be drawn",
            hint=f"Give a size from {SMALLEST} to {LARGEST} pixels a side.",
        )
    truth = describe_ground_truth(settings)
    write_atomically(ground_truth_path(archive), lambda part: part.write_text(truth.to_json(), "utf-8"))
    write_atomically(archive, lambda part: _pack(part, draw_files(settings), advance=advance))
    return truth


def draw_files(settings: SyntheticSettings) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the bytes of every file, in the order of drawing."""
    drawn = DrawnImages()
    for scene in plan_scenes(settings):
        pages = tuple(draw_scene(drawn, scene, settings.size))
        for path, make in scene.files:
            yield path, make(pages)


def draw_scene(drawn: DrawnImages, scene: Scene, size: tuple[int, int]) -> list[Pixels]:
    """Return a scene's images, unlike all images drawn before.

    Returns
    -------
    list of (height, width, 3) uint8 ndarray, sRGB
    """

    def draw_pages(rng: np.random.Generator) -> list[Pixels]:
        if scene.lesion is not None:
            return [draw_lesion(rng, scene.lesion, size) for _ in range(scene.pages)]
        return _cut(draw_skin(rng, size), size)[: scene.pages]

    return draw_distinct(drawn, draw_pages, key=scene.key)


def _cut(skin: Pixels, size: tuple[int, int]) -> list[Pixels]:
    """Return the four patches of a skin."""
    width, height = size
    corners = [(top, left) for top in (0, height) for left in (0, width)]
    return [np.ascontiguousarray(skin[top : top + height, left : left + width]) for top, left in corners]


def _pack(path: Path, files: Iterable[tuple[str, bytes]], *, advance: Callable[[int], None] | None) -> None:
    """Write a zip, stored, in the order given, every file dated 1980-01-01 and made by one and the same system."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for name, content in files:
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o644 << 16
            packed.writestr(member, content)
            if advance is not None:
                advance(len(content))
