"""Splits bytes into lines; after noise, the next newline restores the boundaries."""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 1023
"""The length of a line without its newline; a longer one is not part of the protocol."""


class LineSplitter:
    r"""Collects bytes and returns whole lines; of a line that is too long, only the beginning is kept.

    >>> splitter = LineSplitter()
    >>> splitter.feed(b'{"a"'), splitter.feed(b":1}\r\n\n{")
    ([], [b'{"a":1}'])
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, content: bytes) -> list[bytes]:
        """Return the lines that these bytes complete, in order, without line ends; empty lines are skipped."""
        *ends, rest = content.split(b"\n")
        lines = []
        for end in ends:
            self._add(end)
            line = bytes(self._rest).rstrip(b"\r")
            self._rest.clear()
            if line:
                lines.append(line)
        self._add(rest)
        return lines

    def _add(self, piece: bytes) -> None:
        # One byte over the limit shows that a line is too long; more would let noise fill the memory.
        room = MAX_LINE_BYTES + 1 - len(self._rest)
        self._rest += piece[:room]
