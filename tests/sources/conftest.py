"""The fixtures of this room's tests."""

from tests.sources.builders import make_read_only, open_folder, small_disk
from tests.sources.servers import figshare, kaggle

__all__ = ["figshare", "kaggle", "make_read_only", "open_folder", "small_disk"]
