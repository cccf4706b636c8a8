"""Turns raw, messy public image sets into a small, trustworthy, versioned training set.

Everything the command line does is one call of this package; nothing is imported before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from curation.errors import CurationError
from curation.release import VERSION

if TYPE_CHECKING:
    from curation.pipeline import Built, Options, build, pull, restore
    from curation.storage.cache import Cache
    from curation.versions import Home, Version, diff, explain, load, published, show, verify

__version__ = VERSION

__all__ = [
    "Built",
    "Cache",
    "CurationError",
    "Home",
    "Options",
    "Version",
    "build",
    "diff",
    "explain",
    "load",
    "published",
    "pull",
    "restore",
    "show",
    "verify",
]

_ROOMS = {
    "curation.pipeline": ("Built", "Options", "build", "pull", "restore"),
    "curation.storage.cache": ("Cache",),
    "curation.versions": ("Home", "Version", "diff", "explain", "load", "published", "show", "verify"),
}


def __getattr__(name: str) -> object:
    """Import a public name from its room when it is first used."""
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(room), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names too that were not imported yet."""
    return sorted({*globals(), *__all__})
