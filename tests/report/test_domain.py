"""What only the recipe knows: words of one field appear where a recipe states the field, and nowhere else."""

import re

import numpy as np
import pytest

from curation import Home, Options, build, load
from curation.audit import audit
from curation.dataset.recipe import load_recipe
from curation.engines import Local
from curation.init import start_dataset
from curation.storage.cache import Cache
from tests.builders import as_bytes, texture, write_source

FIELD = re.compile(
    r"\b(?:skin\w*|lesions?|hairs?|rulers?|doctors?|moles?|melanoma\w*|derm\w+|medical)\b", re.IGNORECASE
)
SHAPES = ("ball", "cone", "cube", "ring")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """Return a published set of four classes that has nothing to do with any field; one class has dark lines."""
    folder = tmp_path_factory.mktemp("shapes")
    files = {}
    for place, label in enumerate(SHAPES):
        for number in range(12):
            pixels = texture(100 * place + number).copy()
            if label == "ring":
                pixels[:, ::12] = 0
            files[f"{label}/{number}.jpg"] = as_bytes(np.ascontiguousarray(pixels))
    options = Options(home=Home(folder / "datasets"), cache=Cache(folder / "cache"), engine=Local(1))
    start_dataset(options.home, "shapes", images=write_source(folder / "images", files))
    build("shapes", options)
    return options


def test_a_page_and_a_card_have_no_word_of_a_field(shapes: Options) -> None:
    """Ninety-seven of a hundred bees "showed hairs"; a card of gears warned of medical decisions."""
    version = load(shapes.home, "shapes")
    for name in ("report.html", "CARD.md", "audit.json", "croissant.json"):
        text = (version.folder / name).read_text(encoding="utf-8")
        visible = re.sub(r"data:[^\"')]+", "", text)
        assert sorted(set(FIELD.findall(visible))) == [], name
    recipe = (shapes.home.dataset("shapes") / "recipe.toml").read_text(encoding="utf-8")
    assert set(FIELD.findall(recipe)) <= {"dermatology"}


def test_lines_are_called_what_they_are(shapes: Options) -> None:
    """Without a field the checks name what they measure; with it they have its words, and nothing else changes."""
    version = load(shapes.home, "shapes")
    plain = {check.id for check in audit(version).checks}
    assert {"quality-lines", "quality-marks"} <= plain
    assert not {"quality-hair", "quality-ruler"} & plain
    path = version.folder / "recipe.toml"
    written = path.read_bytes()
    try:
        path.write_bytes(b'domain = "dermatology"\n' + written)
        assert {"quality-hair", "quality-ruler"} <= {check.id for check in audit(version).checks}
    finally:
        path.write_bytes(written)


def test_the_page_names_the_class_that_is_told_from_the_rest(shapes: Options) -> None:
    """Of more than two classes a probe separates one from the rest, and the page states which."""
    text = (load(shapes.home, "shapes").folder / "report.html").read_text(encoding="utf-8")
    assert "one class against the rest" in text
    assert re.search(r"(?:ball|cone|cube|ring) against the rest", text)


def test_a_field_is_no_part_of_a_digest(shapes: Options) -> None:
    """`domain` changes words: neither the recipe's digest nor a version's."""
    folder = shapes.home.dataset("shapes")
    before, path = load_recipe(folder), folder / "recipe.toml"
    written = path.read_text(encoding="utf-8")
    try:
        path.write_text(f'domain = "dermatology"\n{written}', encoding="utf-8")
        after = load_recipe(folder)
        assert (after.domain, after.digest()) == ("dermatology", before.digest())
    finally:
        path.write_text(written, encoding="utf-8")
