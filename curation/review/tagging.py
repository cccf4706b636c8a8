"""Reads the tags of a plain FiftyOne session, in the database such a session has."""

import os
from collections.abc import Mapping

from curation.review.decision_import import read_tags
from curation.review.mongodb import Keeper, find_database, packaged_mongod
from curation.storage.cache import Cache


def read_session_tags(
    name: str, *, cache: Cache, environ: Mapping[str, str] = os.environ
) -> list[tuple[str, str, list[str]]]:
    """Return (sha256 or "", file, tags) of each tagged sample of a FiftyOne dataset.

    A plain session keeps its datasets where FiftyOne is told to (``$FIFTYONE_DATABASE_URI``), else in the server of
    FiftyOne's own package; where neither is there, in the review's database.

    Raises
    ------
    CurationError
        Where there is no database, or no such dataset in it.
    """
    os.environ |= {"FIFTYONE_DO_NOT_TRACK": "true", "FIFTYONE_SHOW_PROGRESS_BARS": "false"}
    if environ.get("FIFTYONE_DATABASE_URI") or packaged_mongod() is not None:
        return read_tags(name)
    keeper = Keeper(cache, find_database(cache))
    try:
        os.environ |= {"FIFTYONE_DATABASE_URI": keeper.open(), "FIFTYONE_DATABASE_VALIDATION": "false"}
        return read_tags(name)
    finally:
        keeper.close()
