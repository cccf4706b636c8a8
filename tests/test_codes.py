"""Every error has a stable code, every code is used and documented, and so is every reason of an excluded row."""

import ast
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.dataset.columns import STEPS
from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason
from curation.versions.problems import ProblemCode

PROJECT = Path(__file__).resolve().parent.parent
PRODUCT = ("curation", "training", "firmware")


def product_files() -> Iterator[tuple[Path, ast.Module]]:
    """Yield every module of the product and its syntax tree."""
    for room in PRODUCT:
        for path in sorted((PROJECT / room).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def calls_of(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    """Yield every call of a function or class with this name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name:
            yield node


def has_code(call: ast.Call) -> bool:
    """Return whether the first of at least two arguments can be a code: not a text."""
    return len(call.args) > 1 and not isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.BinOp | ast.Starred)


def members_used(enumeration: str) -> set[str]:
    """Return the members of an enumeration that the product names, outside of the enumeration itself."""
    return {
        node.attr
        for _, tree in product_files()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == enumeration
    }


def test_every_error_names_its_code():
    """Each ``CurationError(...)`` of the product passes a code and a message."""
    bare = [
        f"{path.relative_to(PROJECT)}:{call.lineno}"
        for path, tree in product_files()
        for call in calls_of(tree, "CurationError")
        if not has_code(call)
    ]
    assert bare == []


PROPER_NAMES = (
    "Edge Impulse",
    "FiftyOne",
    "Hugging Face",
    "ImageNet",
    "Kaggle",
    "LiteRT",
    "MongoDB",
    "Ray",
    "TensorFlow",
)
HINT_ENDS = (".", "?", "{}", "constraints.txt")  # the last two end a command that is to be copied


def literal(node: ast.expr | None) -> str:
    """Return the text of a literal or f-string, with {} for its values; empty for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_messages_and_hints_have_one_style():
    """A message starts in lower case and has no final period; a hint is a sentence, or ends with a command."""
    odd = []
    for path, tree in product_files():
        for call in calls_of(tree, "CurationError"):
            message = literal(call.args[1])
            hint = literal(next((word.value for word in call.keywords if word.arg == "hint"), None))
            if message[:1].isupper() and message[1:2].islower() and not message.startswith(PROPER_NAMES):
                odd.append(f"{path.relative_to(PROJECT)}:{call.lineno}: {message}")
            if message.endswith(".") or hint[:1].islower() or (hint and not hint.endswith(HINT_ENDS)):
                odd.append(f"{path.relative_to(PROJECT)}:{call.lineno}: {hint or message}")
    assert odd == []


@pytest.mark.parametrize("text", ['CurationError("text")', 'CurationError(f"{x}", "hint")', "CurationError(*found)"])
def test_an_error_without_a_code_is_found(text):
    """The check above reports a text where the code belongs."""
    assert not has_code(next(calls_of(ast.parse(text), "CurationError")))
    assert has_code(next(calls_of(ast.parse('CurationError(ErrorCode.OFFLINE, "text")'), "CurationError")))


def test_every_error_code_is_used():
    """No error code is left that the product never raises."""
    assert sorted(set(ErrorCode.__members__) - members_used("ErrorCode")) == []


def test_every_reason_is_used():
    """No reason is left that no step gives."""
    assert sorted(set(Reason.__members__) - members_used("Reason")) == []


def test_every_problem_code_is_used():
    """No problem code is left that no check gives."""
    assert sorted(set(ProblemCode.__members__) - members_used("ProblemCode")) == []


def test_codes_and_reasons_are_explained():
    """Each code and reason has a meaning of one sentence, and each reason the step that gives it."""
    for member in (*ErrorCode, *Reason, *ProblemCode):
        assert member.meaning[0].isupper() or not member.meaning[0].isalpha(), member
        assert member.meaning.endswith("."), member
        assert "|" not in member.meaning, member
    assert {reason.step for reason in Reason} <= set(STEPS)


def test_the_page_of_codes_is_what_the_enumerations_hold():
    """docs/codes.md lists exactly the codes and reasons of the enumerations; ``make codes`` writes it."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, PROJECT / ".ci/codes.py", "--check"]
    page = subprocess.run(command, env=environment, check=False)
    assert page.returncode == 0, "docs/codes.md is out of date: run make codes"


def test_an_error_keeps_its_code_across_processes():
    """A pickled error comes back with code, message and hint."""
    error = CurationError(ErrorCode.OFFLINE, "the network is needed", hint="connect it")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made above
    assert (copy.code, copy.message, copy.hint) == (error.code, error.message, error.hint)
