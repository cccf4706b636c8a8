"""Texts that a person reads use the terms of the field: documentation, help, messages, docstrings, templates.

``python -m tests.test_words [PATH ...]`` lists all places, ``--counts`` prints the table of allowances.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", ".ci/setup", ".ci/constraints", ".ci/run")
ROOMS = ("curation", "training", "firmware", "benchmarks", "datasets", "docs")
TEXT_FILES = (".md", ".j2", ".js", ".yml", ".toml", ".css", ".svg")
C_FILES = (".c", ".h", ".cpp", ".ino")
SKIPPED = ("build", "builds", "generated", "results", "runs", "node_modules", "__pycache__")
"""Folders that git ignores."""

UNWANTED = {
    "picture": r"pictures?",  # image
    "look-alike": r"look-?alikes?",  # duplicate, near duplicate, same scene
    "twin": r"twins?",  # duplicate
    "rim": r"rims?",  # border
    "tells": r"told|tells?|telling",  # prints, reports, contains, states
    "says": r"says?|said|saying",  # the same
    "whoever": r"whoever|whomever",  # users, a reviewer, or the passive
    "nobody": r"nobody|somebody|someone|no one",
    "is no": r"(?<!there )(?:is|are|was|were|be) (?:no(?! (?:longer|more|larger|later|smaller|other)\b)|none)",
    "no more": r"(?:holds?|held|has|have) no more(?! than)",  # no longer contains
    "beside": r"beside",  # next to, in addition to
    "speaks of": r"(?:speaks?|spoke|spoken|speaking|knows?|knew|known) of",  # mentions, has
    "called so": r"(?:called|named|meant) so",
    "looks at": r"look(?:s|ed|ing)? at",  # reads, decodes, measures
    "puts aside": r"puts? aside",  # sets aside
    "anew": r"anew",  # again
    "obeys": r"obey(?:s|ed|ing)?",  # applies
    "British": r"colours?|coloured|grey|artefacts?|centres?|centred|behaviour|neighbours?"
    r"|(?:normal|quant|recogn|optim|serial)is\w+|analys(?:e|ed|ing)",
    "learnt": r"learnt|spelt|whilst|amongst|hitherto|thereof|therein|wherein|thereby",
}
PATTERNS = {word: re.compile(rf"(?<![\w-])(?:{text})(?![\w-])", re.IGNORECASE) for word, text in UNWANTED.items()}

ALLOWED = {
    "curation/cli/build.py": 1,  # ~/pictures, a folder in an example
    "curation/cli/export.py": 1,  # the same
    "curation/review/fiftyone_sync.py": 1,  # lookalikes, a column
    "curation/versions/schema_1.py": 4,  # sentences of 0.1.0, which it parses
}
"""Places that are left in each file, and why. A number may only shrink."""


def files() -> list[Path]:
    """Return all files whose texts are read, sorted."""
    found = [PROJECT / name for name in DOCUMENTS]
    for room in ROOMS:
        for path in (PROJECT / room).rglob("*"):
            inside = path.relative_to(PROJECT).parts
            if not set(inside) & set(SKIPPED) and path.suffix in (".py", *TEXT_FILES, *C_FILES):
                found.append(path)
    return sorted(path for path in found if path.is_file())


def blank(pattern: str, text: str) -> str:
    """Return the text with all matches replaced by spaces: code is not a sentence."""
    return re.sub(pattern, lambda match: " " * len(match[0]), text, flags=re.MULTILINE)


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of docstrings and of string literals that are a sentence or a part of one.

    A string without a space is a key, a name or a code. In docstrings, code and the names of parameters are skipped.
    """
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        text = node.value
        if id(node) in docs:
            text = blank(r"^ *[\w, *]+ : .*$", blank(r"``[^`]*``", text))
        elif id(node) not in parts and not re.search(r"\S\s+\S", text):
            continue
        for number, line in enumerate(text.split("\n")):
            yield node.lineno + number, line


def c_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of the comments and strings of C code."""
    for match in re.finditer(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", source, re.DOTALL):
        start = source.count("\n", 0, match.start()) + 1
        for number, line in enumerate(match[0].split("\n")):
            yield start + number, line


def plain_texts(suffix: str, source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of a document; code in backticks, tags and template expressions are skipped."""
    for number, line in enumerate(source.split("\n"), start=1):
        text = blank(r"`[^`]*`", line) if suffix in (".md", ".toml") else line
        yield number, blank(r"\{[{%].*?[%}]\}|<[^>]*>", text) if suffix in (".j2", ".svg") else text


def places(path: Path, source: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, word and text of every unwanted word."""
    if path.suffix == ".py":
        texts = python_texts(source)
    elif path.suffix in C_FILES:
        texts = c_texts(source)
    else:
        texts = plain_texts(path.suffix, source)
    for number, text in texts:
        for word, pattern in PATTERNS.items():
            for _ in pattern.finditer(text):
                yield number, word, text.strip()


@cache
def count_all() -> Counter[str]:
    """Return the number of unwanted words by file."""
    counts: Counter[str] = Counter()
    for path in files():
        if found := list(places(path, path.read_text(encoding="utf-8"))):
            counts[path.relative_to(PROJECT).as_posix()] = len(found)
    return counts


def test_texts_use_the_terms_of_the_field():
    """No file has more unwanted words than it is allowed; ``python -m tests.test_words`` lists the places."""
    assert {name: count for name, count in count_all().items() if count > ALLOWED.get(name, 0)} == {}


def test_an_allowance_is_used():
    """An allowance for a file that has no unwanted word any more is removed."""
    assert sorted(set(ALLOWED) - set(count_all())) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('"""Return the picture."""', ["picture"]),
        ('raise ValueError(f"{name} is no picture")', ["picture", "is no"]),
        ('x = {"picture": 1}', []),
        ('"""Read ``picture``.\n\n    picture : bytes\n"""', []),
        ('"It is no longer there, and there is no other."', []),
    ],
)
def test_unwanted_words_are_found_in_sentences_only(source, words):
    """Sentences and parts of f-strings are checked; keys and code in docstrings are not."""
    assert sorted(word for _, word, _ in places(Path("x.py"), source)) == sorted(words)


def main() -> None:
    """List all places, or print the counts."""
    asked = [Path(name).resolve() for name in sys.argv[1:] if not name.startswith("-")]
    if "--counts" in sys.argv:
        for name, count in sorted(count_all().items()):
            print(f'    "{name}": {count},')
        return
    for path in files():
        if not asked or any(path.is_relative_to(one) for one in asked):
            for number, word, text in places(path, path.read_text(encoding="utf-8")):
                print(f"{path.relative_to(PROJECT)}:{number}: [{word}] {text[:160]}")


if __name__ == "__main__":
    main()
