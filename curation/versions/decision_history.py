"""What the ledger contains about an image of a version: the lines it was built with, and later ones."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.dataset.decisions import Agreement, Decision, describe_history, read_ledger
from curation.dataset.layout import Home


@dataclass(frozen=True)
class DecisionHistory:
    """A ledger as a version sees it.

    Parameters
    ----------
    ledger : tuple of Decision
        As it is now.
    built : int
        The last line the version was built with; later lines take effect in the next build.
    agreement, adjudicator
        The policy of the version's recipe.
    """

    ledger: tuple[Decision, ...]
    built: int
    agreement: Agreement = "newest"
    adjudicator: str | None = None

    @classmethod
    def read(cls, home: Home, name: str, folder: Path) -> "DecisionHistory":
        """Read the dataset's ledger, and the copy of it in the folder of a version or draft."""
        copy = read_ledger(folder / "decisions.jsonl")
        review = _read_review(folder / "recipe.toml")
        return cls(
            read_ledger(home.dataset(name) / "decisions.jsonl") or copy,
            max((line.line for line in copy), default=0),
            review.get("agreement", "newest"),
            review.get("adjudicator"),
        )

    def about(self, sha256: str | None) -> tuple[str, ...]:
        """Return the sentences about one image; empty where there is no decision."""
        if sha256 is None:
            return ()
        before = tuple(line for line in self.ledger if line.line <= self.built)
        policy: dict[str, Any] = {"agreement": self.agreement, "adjudicator": self.adjudicator}
        known = describe_history(before, sha256, **policy)
        if len(before) == len(self.ledger):
            return known
        now = describe_history(self.ledger, sha256, **policy)
        return tuple(sentence if sentence in known else f"since this build: {sentence}" for sentence in now)


def _read_review(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("review", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    return table if isinstance(table, dict) else {}
