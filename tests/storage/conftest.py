"""The fixtures of this room's tests."""

from tests.sources.builders import make_read_only, open_folder, small_disk

__all__ = ["make_read_only", "open_folder", "small_disk"]
