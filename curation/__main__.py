"""Runs the command line: ``python -m curation``."""

import sys

from curation.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
