"""The sentences of page, card and findings use the words of the field."""

import re
from pathlib import Path

import pytest

import curation.audit
import curation.report
from curation.dataset import finding_texts

FORBIDDEN = re.compile(
    r"\b(pictures?|look-?alikes?|twins?|rim|tells?|told|whoever|nobody|somebody|beside|speaks? of|knows? of"
    r"|is no|holds? no|grey|colour|artefacts?)\b",
    re.IGNORECASE,
)
ALLOWED = {
    "colour",  # the probe of that name in 0.1.0's findings, and the recipe's `colour_constancy`
    "artefacts",  # the probe of that name
    "grey",  # the recipe's "grey-world" and "shades-of-grey"
    "pictures",  # the unit of a table, and a figure, in 0.1.0's audit.json
    "twins",  # the finding labels-twins of 0.1.0
    "look-alike",  # the finding leakage-look-alike of 0.1.0
    "lookalikes",  # the column of that name
}
ROOMS = [Path(module.__file__).parent for module in (curation.report, curation.audit)]
FILES = [Path(finding_texts.__file__)]
FILES += sorted(path for room in ROOMS for path in room.iterdir() if path.suffix in {".py", ".j2"})


def used_words(text: str) -> set[str]:
    """Return the forbidden words of a text, less the codes and keys that keep their names."""
    return {found.lower() for found in FORBIDDEN.findall(text)} - ALLOWED


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_templates_and_sentences_use_the_words_of_the_field(path):
    """names.md lists what not to write."""
    assert used_words(path.read_text(encoding="utf-8")) == set()


def test_templates_contain_no_name_that_is_allowed_in_code_only():
    """Codes and keys of 0.1.0 are named in modules, never in a template."""
    templates = [path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".j2"]
    assert len(templates) == 2
    words = [re.sub(r"{%.*?%}|{{.*?}}|<[^>]*>", " ", text) for text in templates]
    assert not any(re.search(rf"{FORBIDDEN.pattern}|\bis none\b", text, re.IGNORECASE) for text in words)
    assert not any(FORBIDDEN.search(text) for text in templates)


def test_the_words_are_found():
    """A scan that finds nothing would prove nothing."""
    assert used_words("Nobody told whoever looks at the twin's rim") == {"nobody", "told", "whoever", "twin", "rim"}
