"""Renders the templates of the report; every string of the data is escaped."""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from curation.report.summary import claim_words
from curation.storage.control_characters import strip_line

MAX_LENGTH: Final = 90
"""Longer names are shortened in the middle."""
MAX_TEXT_LENGTH: Final = 3000
"""Texts of the audit are shown whole; only beyond this, which no check reaches, they are shortened."""


def read_resource(name: str) -> str:
    """Return the text of a file of this room."""
    return (files("curation.report") / name).read_text(encoding="utf-8")


def render_template(name: str, values: Mapping[str, Any]) -> str:
    """Return a template of this room, rendered with values.

    Parameters
    ----------
    name : str
        The template's file.
    values : mapping of str to objects
        All that the template may use besides its filters; an unknown name is an error.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "short": shorten,
        "file": file_of,
        "folder": folder_of,
        "percent": percent,
        "formatted": format_text,
        "claim": claim_words,
        "count": lambda number: f"{number:,}",
    }
    return environment.from_string(read_resource(name)).render(dict(values))


def shorten(text: object, longest: int = MAX_LENGTH) -> str:
    """Return text as one line, shortened in the middle where it is long: the end of a path matters most."""
    plain = strip_line(str(text))
    return plain if len(plain) <= longest else f"{plain[: longest // 3]}…{plain[-(longest - longest // 3 - 1) :]}"


def file_of(name: object, longest: int = 34) -> str:
    """Return the last part of an id: the file."""
    return shorten(str(name).rpartition("/")[2], longest)


def folder_of(name: object, longest: int = 34) -> str:
    """Return the last folder of an id."""
    return shorten(str(name).rpartition("/")[0].rpartition("/")[2], longest)


def percent(share: float) -> str:
    """Return a share as a percentage; exactly 0 as "0", unlike a small share."""
    return f"{100 * share:.1f} %" if share else "0"


def format_text(text: object, longest: int = MAX_TEXT_LENGTH) -> Markup:
    """Return escaped text that begins with a capital, with code between backticks."""
    plain = shorten(text, longest)
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(plain[:1].upper() + plain[1:]))))  # noqa: S704  # escaped before the tags are put in
