"""Writes docs/codes.md, the list of all error codes, reasons of excluded rows and columns, from their definitions.

``make codes`` runs it. With ``--check`` it writes nothing and fails if the page differs from the definitions.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from curation.dataset.columns import COLUMNS
from curation.errors import ErrorCode
from curation.reasons import Reason
from curation.versions.problems import ProblemCode

PAGE = Path(__file__).resolve().parent.parent / "docs" / "codes.md"
TEXT = """# Codes

This page is generated from `curation/errors.py`, `curation/reasons.py`, `curation/versions/problems.py` and
`curation/dataset/columns.py` by `make codes`. Codes are stable. Messages may change at any time, so scripts should
compare codes only.

## Errors

`CurationError.code`, and `code` in the output of commands with `--json`.

{errors}

## Reasons

Column `reason` of an excluded row; column `excluded_by` has the step, and `detail` the facts.

{reasons}

## Problems of a version

`code` in the list `codes` of `verify --json`.

{problems}

## Columns

Columns of `manifest.parquet`, in their order. The metadata columns that the recipe names follow them.

{columns}
"""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page() -> str:
    """Return the text of the page."""
    errors = ((f"`{code}`", code.meaning) for code in sorted(ErrorCode))
    reasons = ((f"`{reason}`", reason.step, reason.meaning) for reason in Reason)
    problems = ((f"`{problem}`", problem.meaning) for problem in sorted(ProblemCode))
    columns = (
        (f"`{column.name}`", column.step or "any", f"`{column.kind}`".split("(")[0].rstrip("`") + "`", column.meaning)
        for column in COLUMNS
    )
    return TEXT.format(
        errors=table(("code", "meaning"), errors),
        reasons=table(("reason", "step", "meaning"), reasons),
        problems=table(("code", "meaning"), problems),
        columns=table(("column", "step", "type", "meaning"), columns),
    )


def main() -> int:
    """Write the page, or compare it."""
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page() else 1


if __name__ == "__main__":
    raise SystemExit(main())
