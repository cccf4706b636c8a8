"""The light of each class: a table that goes into the firmware with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ALARM_COLOR: Final = "red"
OTHER_COLORS: Final = ("green", "yellow", "cyan", "magenta", "white")
"""The colors of the classes without alarm, in their order. Blue alone means that there is no verdict."""

_BITS: Final = {"red": 1, "green": 2, "yellow": 3, "magenta": 5, "cyan": 6, "white": 7}
_BLINKS: Final = 8


@dataclass(frozen=True)
class Light:
    """What the board shows for a class.

    Parameters
    ----------
    label : str
    color : str
    blinks : bool
        Above the threshold of the alarm.
    """

    label: str
    color: str
    blinks: bool

    @property
    def bits(self) -> int:
        """As in `lights.h`: 1 for red, 2 for green, 4 for blue, 8 if it blinks."""
        return _BITS[self.color] | (_BLINKS if self.blinks else 0)


def assign_lights(labels: Sequence[str], alarm: str) -> tuple[Light, ...]:
    """Give each class a light: red, blinking for a high score, for the alarm; the other colors in order.

    From the sixth class without alarm on, the classes share the last color; the serial line has their names.
    """
    others = [label for label in labels if label != alarm]
    colors = {label: OTHER_COLORS[min(place, len(OTHER_COLORS) - 1)] for place, label in enumerate(others)}
    return tuple(Light(label, colors.get(label, ALARM_COLOR), label == alarm) for label in labels)
