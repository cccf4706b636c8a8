"""Bytes become lines: in step again at the next newline, whatever came before it."""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 1023
"""Of a line without its newline; what is longer is no line of the protocol."""


class LineSplitter:
    r"""Takes bytes as they come and gives whole lines; of one that is too long only a first piece is kept.

    >>> splitter = LineSplitter()
    >>> splitter.feed(b'{"a"'), splitter.feed(b":1}\r\n\n{")
    ([], [b'{"a":1}'])
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, content: bytes) -> list[bytes]:
        """Return the lines that these bytes complete, in order, without their ends; empty lines are passed over."""
        *ends, rest = content.split(b"\n")
        lines = []
        for end in ends:
            self._keep(end)
            line = bytes(self._rest).rstrip(b"\r")
            self._rest.clear()
            if line:
                lines.append(line)
        self._keep(rest)
        return lines

    def _keep(self, piece: bytes) -> None:
        # One byte over the limit tells that a line is too long; more would let noise take the memory.
        room = MAX_LINE_BYTES + 1 - len(self._rest)
        self._rest += piece[:room]
