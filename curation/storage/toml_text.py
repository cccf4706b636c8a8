"""Writes text as TOML, for the recipes that this program writes itself."""

import json


def quote(text: str) -> str:
    r"""Return text as a TOML string on one line, whatever it contains.

    >>> print(quote('C:\\images "new"\x1b\x7f'))
    "C:\\images \"new\"\u001b\u007f"
    """
    # TOML has JSON's escapes; DEL is the one control character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
