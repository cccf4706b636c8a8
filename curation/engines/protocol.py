"""What every engine does, wherever it does it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from curation.hashing import Pairs, SearchReport, oriented_pairs_within, pairs_within

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Where work is done; never what comes out of it."""

    @property
    def workers(self) -> int:
        """How many shards are worked on at once."""

    @property
    def far(self) -> bool:
        """Whether the workers may be on other machines."""

    def map(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[Result]:
        """Yield ``function(shard)`` for each shard, in the order of the shards.

        ``function`` is a module's own function and shards and results can be pickled. An error of the function
        reaches the caller as it is.
        """

    def as_finished(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        """Yield the number of a shard and ``function(shard)``, each as soon as it is there."""

    def candidates(
        self,
        hashes: NDArray[np.uint64],
        radius: int,
        keys: NDArray[np.integer] | None,
        plan: SearchReport | None = None,
    ) -> Iterator[Pairs]:
        """Yield the pairs of ``search_here``, in any order."""


def search_here(
    hashes: NDArray[np.uint64], radius: int, keys: NDArray[np.integer] | None, plan: SearchReport | None = None
) -> Iterator[Pairs]:
    """Yield the pairs within the radius among (n,) hashes, or (n, 8) in any orientation, searched in this process."""
    search = pairs_within if hashes.ndim == 1 else oriented_pairs_within
    return search(hashes, radius, keys=keys, plan=plan)
