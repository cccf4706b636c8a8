"""Plans a drawn source from its settings: the scenes, the files made from them, the planted faults."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from curation.sources.synthetic.encodings import PATCH_ENCODINGS, jpeg, tiff
from curation.sources.synthetic.fault_injection import LESIONS, SKIN, FaultSpec, Make, Pages
from curation.sources.synthetic.ground_truth import Fault, GroundTruth, Part
from curation.sources.synthetic.images import Lesion, Pixels

FOLDERS: dict[Part, str] = {"lesions": "Skin drawn set", "skin": "Drawn texture patches"}
CLASSES: tuple[Lesion, ...] = ("melanoma", "nevus", "seborrheic keratosis")
PATCHES = 4
# Faults have numbers below this, so that a larger count adds images and changes none.
FIRST_CLEAN = 1001


class SyntheticSettings(Protocol):
    """The settings of a drawn source in a recipe."""

    @property
    def part(self) -> Part:
        """``lesions``: JPEGs in folders by split and class; ``skin``: TIFF patches, four of each skin."""

    @property
    def seed(self) -> int:
        """The same seed draws the same images."""

    @property
    def count(self) -> int:
        """Images without a fault: of melanoma (half as many of each other class), or patches of skin."""

    @property
    def faults(self) -> bool:
        """Whether faults are planted."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of an image in pixels."""


@dataclass(frozen=True)
class Scene:
    """One drawing and the files made from it.

    Parameters
    ----------
    key : tuple of int
        The random key: seed, part, class (0 for what carries a fault), index.
    lesion : Lesion or None
        What is drawn; None is bare skin.
    pages : int
        The number of images.
    files : tuple of (path, make)
        Each file and how its bytes are made from the images.
    """

    key: tuple[int, ...]
    lesion: Lesion | None
    pages: int
    files: tuple[tuple[str, Make], ...]


def plan_scenes(settings: SyntheticSettings) -> tuple[Scene, ...]:
    """Return what is to be drawn, in the order of drawing."""
    faulty = [scene for _, scene in _plan_faults(settings)]
    return tuple(faulty + _plan_clean(settings))


def describe_ground_truth(settings: SyntheticSettings) -> GroundTruth:
    """Return the ground truth of these settings without drawing anything."""
    clean = sorted(path for scene in _plan_clean(settings) for path, _ in scene.files)
    faults = sorted((fault for fault, _ in _plan_faults(settings)), key=lambda fault: fault.path)
    return GroundTruth(part=settings.part, seed=settings.seed, clean=tuple(clean), faults=tuple(faults))


def _plan_clean(settings: SyntheticSettings) -> list[Scene]:
    """Return the scenes without a fault; those of a smaller count come first."""
    if settings.part == "skin":
        return [_plan_skin(settings, index) for index in range((settings.count + PATCHES - 1) // PATCHES)]
    scenes = []
    for index in range(settings.count):
        # Half as many of the context classes: every second round draws one of each.
        for number, label in enumerate(CLASSES if index % 2 == 0 else CLASSES[:1]):
            folder = f"{FOLDERS['lesions']}/{_split_of(index, label)}/{label}"
            path = f"{folder}/DRAWN_{FIRST_CLEAN + len(CLASSES) * index + number:07d}.jpg"
            key = (settings.seed, 0, 1 + number, index)
            scenes.append(Scene(key=key, lesion=label, pages=1, files=((path, _first(jpeg)),)))
    return scenes


def _split_of(index: int, label: Lesion) -> str:
    """Return the source's own split: every fifth image of a class is in ``Test``."""
    turn = index if label == CLASSES[0] else index // 2
    return "Test" if turn % 5 == 4 else "Train"


def _plan_skin(settings: SyntheticSettings, index: int) -> Scene:
    """Return one skin's patches, each in the encoding whose turn it is."""
    ways = list(PATCH_ENCODINGS.values())
    numbers = range(PATCHES * index, min(PATCHES * (index + 1), settings.count))
    files = tuple(
        (_patch_path(FIRST_CLEAN + index, number % PATCHES), _nth(number % PATCHES, ways[number % len(ways)]))
        for number in numbers
    )
    return Scene(key=(settings.seed, 1, 1, index), lesion=None, pages=PATCHES, files=files)


def _plan_faults(settings: SyntheticSettings) -> list[tuple[Fault, Scene]]:
    if not settings.faults:
        return []
    if settings.part == "skin":
        return [_plan_skin_fault(settings.seed, index, spec) for index, spec in enumerate(SKIN)]
    return [_plan_lesion_fault(settings.seed, index, spec) for index, spec in enumerate(LESIONS)]


def _plan_lesion_fault(seed: int, index: int, spec: FaultSpec) -> tuple[Fault, Scene]:
    number = f"{2 * index + 1:07d}"
    original = None if spec.original is None else f"{FOLDERS['lesions']}/{spec.original}/DRAWN_{number}.jpg"
    own = number if spec.same_name or original is None else f"{2 * index + 2:07d}"
    name = (spec.name or "DRAWN_{}.jpg").replace("{}", own)
    path = f"{FOLDERS['lesions']}/{spec.place}/{name}"
    # An image under two labels is drawn with the label of its original.
    drawn = next(label for label in CLASSES if label == (spec.original or spec.place).split("/")[1])
    label = spec.place.split("/")[1]
    fault = Fault(kind=spec.kind, path=path, expected=spec.expected, label=label, original=original)
    files = ((path, spec.make), *(() if original is None else ((original, _first(jpeg)),)))
    return fault, Scene(key=(seed, 0, 0, index), lesion=drawn, pages=spec.pages, files=files)


def _plan_skin_fault(seed: int, index: int, spec: FaultSpec) -> tuple[Fault, Scene]:
    original = None if spec.original is None else _patch_path(2 * index + 1, 0)
    path = _patch_path(2 * index + (1 if original is None else 2), 0)
    if spec.name is not None:
        path = f"{FOLDERS['skin']}/" + spec.name.replace("{}", f"{2 * index + 1}")
    fault = Fault(kind=spec.kind, path=path, expected=spec.expected, label=None, original=original)
    files = ((path, spec.make), *(() if original is None else ((original, _first(tiff)),)))
    return fault, Scene(key=(seed, 1, 0, index), lesion=None, pages=spec.pages, files=files)


def _patch_path(number: int, patch: int) -> str:
    return f"{FOLDERS['skin']}/patch_{number:03d}_DRAWN_{number:07d}_{patch}.tif"


def _first(encode: Callable[[Pixels], bytes]) -> Make:
    return _nth(0, encode)


def _nth(page: int, encode: Callable[[Pixels], bytes]) -> Make:
    def make(pages: Pages) -> bytes:
        return encode(pages[page])

    return make
