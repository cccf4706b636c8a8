"""The card is a Hugging Face dataset card, its numbers are the version's, and no string breaks out of it."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curation.dataset.findings import Finding
from curation.dataset.manifest import ReasonCount
from curation.dataset.recipe import Recipe, parse_recipe
from curation.pipeline import Options, build
from curation.report.card import write_card
from curation.report.summary import Summary
from curation.sources import Fetched
from curation.versions import Home, load
from tests.builders import tiny_images, write_recipe, write_source
from tests.report.builders import HOSTILE


def read_card(text: str) -> Any:
    """Return the card as Hugging Face's own reader sees it."""
    from huggingface_hub import DatasetCard

    return DatasetCard(text)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a version that was built."""
    folder = tmp_path_factory.mktemp("card")
    write_recipe(folder / "datasets", images=write_source(folder / "images", tiny_images()))
    home = Home(folder / "datasets")
    build("tiny", Options(home=home))
    return load(home, "tiny").folder


def test_hugging_faces_own_reader_understands_it(built):
    """Names, licence, task, size, where each split lies and how many images it holds."""
    told = read_card((built / "CARD.md").read_text(encoding="utf-8")).data.to_dict()
    assert told["pretty_name"] == "Tiny"
    assert told["license"] == "unknown"
    assert told["task_categories"] == ["image-classification"]
    assert told["size_categories"] == ["n<1K"]
    assert told["configs"][0]["data_files"] == [
        {"split": "train", "path": "images/train/**"},
        {"split": "test", "path": "images/test/**"},
    ]
    label = told["dataset_info"]["features"][1]
    assert label["dtype"]["class_label"]["names"] == {"0": "healthy", "1": "melanoma"}
    assert told["dataset_info"]["splits"] == [
        {"name": "train", "num_examples": 12},
        {"name": "test", "num_examples": 4},
    ]


def test_the_splits_it_names_are_there_to_be_loaded(built):
    """Every path of the front matter matches the stated number of images."""
    told = read_card((built / "CARD.md").read_text(encoding="utf-8")).data.to_dict()
    for part, split in zip(told["configs"][0]["data_files"], told["dataset_info"]["splits"], strict=True):
        assert len(list(built.glob(part["path"] + "/*.jpg"))) == split["num_examples"]


def test_the_audits_findings_stand_in_it(built):
    """Its limits are measured, not claimed."""
    text = (built / "CARD.md").read_text(encoding="utf-8")
    assert "### What the audit found" in text
    assert "| warning | balance-test-size |" in text


def hostile_card(text: str) -> str:
    """Return a card with a string everywhere data can put one."""
    raw: dict[str, Any] = {
        "title": text,
        "description": text,
        "licence": text,
        "sources": [{"name": "src", "kind": "folder", "path": "images", "label": "a", "licence": text}],
        "labels": {"classes": {"healthy": ["healthy"], "melanoma": ["melanoma"]}, "context": "*"},
        "selection": {"counts": {"train": 4}},
    }
    recipe: Recipe = parse_recipe(raw, name="tiny", base=Path("/nowhere"))
    archive = SimpleNamespace(name=text, sha256="0" * 64)
    fetched = Fetched("src", (archive,), text, text, text, text, text, "folder")  # type: ignore[arg-type]  # as read
    summary = Summary(
        rows=9,
        kept=8,
        splits={"train": {"healthy": 4, "melanoma": 4}},
        reasons=(ReasonCount("probe", "unsupported", text, 1),),
        conflicts=(),
        disputed_lookalikes=(),
        reserve={},
        leaks=(),
        unreadable=((text, text),),
    )
    facts = {"looks_at": text, "label": text}
    figures = {"auc": 0.9, "low": 0.9, "high": 0.9}
    finding = Finding(id="shortcut-frame", severity="error", count=1, figures=figures, facts=facts, waived=text)
    description = {"version": 1, "digest": "0" * 64, "tool": "0.1.0"}
    return write_card(recipe, description, summary, (fetched,), findings=(finding,))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_break_out_of_nothing(text):
    """No HTML, no key of its own in the front matter, no further column or row in a table."""
    card = hostile_card(text)
    told = read_card(card).data.to_dict()
    assert set(told) <= {
        *("pretty_name", "license", "license_name", "task_categories", "size_categories"),
        *("tags", "configs", "dataset_info"),
    }
    body = card.partition("\n---\n")[2].replace("`images/<split>/<class>/`", "")
    assert "<" not in body
    assert "\x1b" not in card
    for line in body.splitlines():
        if line.startswith("| src |"):
            assert line.replace("\\|", "").count("|") == 7
        if line.startswith("| error"):
            assert line.replace("\\|", "").count("|") == 5
    prose = body.partition("\n## ")[0]  # the recipe's own description may hold a link
    assert not re.search(r"(?<!\\)\]\(http", body.removeprefix(prose))
