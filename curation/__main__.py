"""Runs the command line: ``python -m curation``."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run one command and return its exit code; Ctrl-C while the command line itself is imported is 130 too."""
    try:
        from curation.cli import main as run
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was done", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
