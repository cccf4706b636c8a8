"""The eight orientations of a picture: their names, how to turn a picture, and how to turn it back.

Orientation ``k`` is read bit by bit: 4 transposes first, then 2 flips top and bottom, then 1 flips left and right.
"""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

# The names are Pillow's (Image.Transpose), where rotations are counter-clockwise.
SYMMETRIES: Final = (
    "upright",
    "flip_left_right",
    "flip_top_bottom",
    "rotate_180",
    "transpose",
    "rotate_270",
    "rotate_90",
    "transverse",
)

# turn(turn(picture, k), INVERSE[k]) is the picture again: only the two quarter turns are not their own inverse.
INVERSE: Final = (0, 1, 2, 3, 4, 6, 5, 7)


def turn(picture: NDArray[Scalar], k: int) -> NDArray[Scalar]:
    """Return a view of the picture in orientation ``k``.

    Parameters
    ----------
    picture : (height, width, ...) ndarray
    k : int
        Index into ``SYMMETRIES``.

    >>> turn(np.array([[1, 2], [3, 4]]), SYMMETRIES.index("rotate_90")).tolist()
    [[2, 4], [1, 3]]
    """
    if not 0 <= k < len(SYMMETRIES):
        raise ValueError(f"there are {len(SYMMETRIES)} orientations, not one numbered {k}")
    turned = picture.swapaxes(0, 1) if k & 4 else picture
    return turned[:: -1 if k & 2 else 1, :: -1 if k & 1 else 1]
