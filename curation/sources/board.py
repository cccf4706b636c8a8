"""Pictures that a board's own camera took, as `python -m curation board PORT --collect` lays them down.

`<folder>/<label>/<group>-<number>.png`, and `captures.jsonl` that says of each when, by which board and with which
model it was taken. The folder a picture stands in now is its label, so that moving a file corrects it; the pictures of
one burst, which show the same thing, are one group and so never lie on two sides of a split.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from curation.dataset.recipe import BOARD_PATTERN
from curation.errors import CurationError, ErrorCode
from curation.sources.folder import fetch as fetch_folder

if TYPE_CHECKING:
    from curation.dataset.recipe import BoardSource
    from curation.sources.protocol import Fetched, Request

CAPTURES = "captures.jsonl"


def fetch(request: Request[BoardSource]) -> Fetched:
    """Take the folder where it stands.

    Raises
    ------
    CurationError
        There is no such folder, or no picture in it that a board took.
    """
    fetched = fetch_folder(request)
    (archive,) = fetched.archives
    if not any(re.search(BOARD_PATTERN, member.path) for member in archive.members):
        raise CurationError(
            ErrorCode.NO_FILES,
            f"source {request.name}: {request.settings.path} has no images that a board took",
            hint=f"take some with `python -m curation board PORT --collect LABEL --into {request.settings.path}`",
        )
    return replace(fetched, sidecar_files=frozenset({CAPTURES}))


def name_image(group: str, number: int) -> str:
    """Return the file name of a burst's picture.

    >>> name_image("mole-3", 12)
    'mole-3-0012.png'
    """
    return f"{group}-{number:04d}.png"


def read_number(name: str, group: str) -> int | None:
    """Return the number of a burst's picture out of its file name, or None where it is none of this burst.

    >>> read_number("mole-3-0012.png", "mole-3"), read_number("mole-3-0012.png", "mole")
    (12, None)
    """
    match = re.fullmatch(rf"{re.escape(group)}-(\d{{4,}})\.png", name)
    return int(match[1]) if match else None
