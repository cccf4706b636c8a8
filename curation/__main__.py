"""Runs the command line: ``python -m curation``."""

import gc
import os
import sys

__all__ = ["main"]


def main() -> int:
    """Run one command and return its exit code; Ctrl-C while the command line itself is imported is 130 too."""
    gc.set_threshold(200_000)  # imports make many objects and no garbage; looking for it takes a quarter of their time
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # looking for them reads the metadata of every package
    # One image is too little work for several threads, which would only compete with the workers.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from curation.cli import main as run
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was done", file=sys.stderr)
        return 130
    try:
        return run()
    finally:
        gc.freeze()  # the system takes the memory back at once; to look it through first takes longer than many a verb


if __name__ == "__main__":
    sys.exit(main())
