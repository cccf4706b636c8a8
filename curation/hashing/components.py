"""Names the connected components of a relation between rows.

Written out with numpy: SciPy's is as fast, but takes a quarter of a second to import, and a build in which nothing
changed may take one.
"""

import numpy as np
from numpy.typing import NDArray


def connected_components(n: int, i: NDArray[np.integer], j: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return for each of n rows the smallest row it is connected with.

    Every row points at a smaller one of its component, or at itself. In each round the rows pointed at by two ends of
    an edge are hooked onto the smaller of them, and all pointers are followed to their ends, until no edge joins two
    ends (Shiloach, Vishkin, "An O(log n) parallel connectivity algorithm", 1982).

    Parameters
    ----------
    n : int
    i, j : (k,) integer ndarray
        The edges; direction, order and repetition make no difference.

    Returns
    -------
    (n,) int64 ndarray
        Two rows are connected exactly where their values are equal; a row without an edge has its own number.

    >>> connected_components(5, np.array([3, 4]), np.array([1, 3])).tolist()
    [0, 1, 2, 1, 1]
    """
    smallest = np.arange(n, dtype=np.int64)
    a, b = np.asarray(i, np.int64), np.asarray(j, np.int64)
    while len(a):
        ends_a, ends_b = smallest[a], smallest[b]
        apart = np.flatnonzero(ends_a != ends_b)
        a, b, ends_a, ends_b = a[apart], b[apart], ends_a[apart], ends_b[apart]
        np.minimum.at(smallest, np.maximum(ends_a, ends_b), np.minimum(ends_a, ends_b))
        while not np.array_equal(followed := smallest[smallest], smallest):
            smallest = followed
    return smallest
