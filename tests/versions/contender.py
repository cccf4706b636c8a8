"""Publishes one version in a process of its own: ``python -m tests.versions.contender DATASETS SALT``."""

import sys
from pathlib import Path

from curation.versions import Home, commit, locked, open_staging, recover
from tests.versions.builders import fill, make_recipe, make_rows, number_of


def main(datasets: Path, salt: str) -> None:
    """Wait for the lock, printing whom for, then publish and print the outcome."""
    home, rows, recipe = Home(datasets), make_rows(salt=salt), make_recipe()
    with locked(home, "squares", on_wait=lambda sentence: print(sentence, flush=True)) as held:
        recover(held)
        with open_staging(held) as build:
            fill(build.folder, rows, recipe, number=number_of(home, rows, recipe))
            published = commit(build)
    print(published.outcome, published.line.version, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
