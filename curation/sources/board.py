"""Images that a board's camera took, as `python -m curation board PORT --collect` saves them.

The files are `<folder>/<label>/<group>-<number>.png`; `captures.jsonl` records the time, the board and the model of
each. The current folder of an image is its label, so moving a file corrects the label. The images of one burst show
the same object: they are one group, and a group never straddles a split.
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
    """Use the folder in place.

    Raises
    ------
    CurationError
        The folder is missing, or no image in it was taken by a board.
    """
    fetched = fetch_folder(request)
    (archive,) = fetched.archives
    if not any(re.search(BOARD_PATTERN, member.path) for member in archive.members):
        raise CurationError(
            ErrorCode.NO_FILES,
            f"source {request.name}: {request.settings.path} has no images that a board took",
            hint=f"Take some with `python -m curation board PORT --collect LABEL --into {request.settings.path}`.",
        )
    return replace(fetched, sidecar_files=frozenset({CAPTURES}))


def name_image(group: str, number: int) -> str:
    """Return the file name of an image of a burst.

    >>> name_image("mole-3", 12)
    'mole-3-0012.png'
    """
    return f"{group}-{number:04d}.png"


def read_number(name: str, group: str) -> int | None:
    """Return the number in the file name of an image, or None where the image is not of this burst.

    >>> read_number("mole-3-0012.png", "mole-3"), read_number("mole-3-0012.png", "mole")
    (12, None)
    """
    match = re.fullmatch(rf"{re.escape(group)}-(\d{{4,}})\.png", name)
    return int(match[1]) if match else None
