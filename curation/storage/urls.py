"""Tells a URL from a path of this machine."""

import os
import re

_URL = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+:/{1,2}(?=[^/])")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path starts with a scheme; a ``Path`` made of a URL has lost one of its two slashes.

    >>> from pathlib import Path
    >>> is_url("s3://bucket/set.zip"), is_url(Path("s3://bucket/set.zip")), is_url("C:/set.zip"), is_url("set.zip")
    (True, True, False, False)
    """
    return _URL.match(os.fspath(path)) is not None
