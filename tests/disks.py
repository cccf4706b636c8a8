"""Small file systems that a test can fill up or write-protect; a test that asks for one skips where none can be had."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mount_disk(folder: Path, *, size: str) -> Iterator[Path]:
    """Mount an empty file system of that size (``"64k"``, ``"1m"``) on a new folder, and take it away again."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk takes root's rights")
    try:
        yield folder
    finally:
        # Lazily: a thread of TensorBoard's may still hold a file open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
