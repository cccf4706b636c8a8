"""Where datasets, their published lines and their builds lie on the disk."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.dataset.recipe import check_name
from curation.errors import CurationError, ErrorCode

BUILDS = "builds"


@dataclass(frozen=True)
class Home:
    """The folder ``datasets/``: definitions and published lines (for git), and ``builds/`` (made by the program).

    Parameters
    ----------
    datasets : pathlib.Path
        The folder itself.
    """

    datasets: Path

    @classmethod
    def find(cls, given: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> "Home":
        """Return the given folder, else ``$CURATION_DATASETS``, else ``./datasets``."""
        return cls(given or Path(environ.get("CURATION_DATASETS") or "datasets"))

    def dataset(self, name: str) -> Path:
        """Return the folder of one dataset's definition; it need not exist.

        Raises
        ------
        CurationError
            Where a dataset cannot have this name: no name leads out of ``datasets/``.
        """
        check_name(name)
        return self.datasets / name

    def lines(self, name: str) -> Path:
        """Return the path of ``versions.jsonl``."""
        return self.dataset(name) / "versions.jsonl"

    def split(self, name: str, number: int) -> Path:
        """Return the path of the published split ``versions/v<n>.csv``."""
        return self.dataset(name) / "versions" / f"v{number}.csv"

    def decided(self, name: str) -> Path:
        """Return the path of ``versions/decided.csv``: the decided images that the newest split does not contain."""
        return self.dataset(name) / "versions" / "decided.csv"

    def builds(self, name: str) -> Path:
        """Return the folder that holds one dataset's built versions; it need not exist."""
        return self.datasets / BUILDS / name

    def build(self, name: str, number: int) -> Path:
        """Return the folder of one built version; it need not exist."""
        return self.builds(name) / f"v{number}"

    def draft(self, name: str) -> Path:
        """Return the folder of the draft a failed build left; it need not exist."""
        return self.builds(name) / "draft"

    def names(self) -> tuple[str, ...]:
        """Return the datasets that are defined here, sorted."""
        folders = self.datasets.glob("*") if self.datasets.is_dir() else ()
        return tuple(
            sorted(
                folder.name
                for folder in folders
                if folder.name != BUILDS
                and any((folder / file).is_file() for file in ("recipe.toml", "versions.jsonl"))
            )
        )

    def check_name(self, name: str) -> str:
        """Return ``name`` if a dataset of that name is defined here.

        Raises
        ------
        CurationError
            Where there is none; the hint names the one that was meant.
        """
        known = self.names()
        if name in known:
            return name
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}." if known else None
        raise CurationError(
            ErrorCode.DATASET_MISSING,
            f"{self.datasets}: there is no dataset {name!r}",
            hint=hint or "Run it where datasets/ is, or set $CURATION_DATASETS.",
        )
