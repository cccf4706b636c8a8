"""Writes text as TOML, for the recipes that this program writes itself."""

import tomli_w


def quote(text: str) -> str:
    r"""Return text as a TOML string on one line, whatever it contains.

    >>> print(quote('C:\\images "new"\x1b\x7f'))
    "C:\\images \"new\"\u001b\u007f"
    """
    return tomli_w.dumps({"text": text}).removeprefix("text = ").rstrip("\n")
