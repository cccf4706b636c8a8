"""What every engine does, wherever it does it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Where work is done; never what comes out of it."""

    @property
    def workers(self) -> int:
        """How many shards are worked on at once."""

    @property
    def is_remote(self) -> bool:
        """Whether the workers may be on other machines."""

    def map(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[Result]:
        """Yield ``function(shard)`` for each shard, in the order of the shards.

        ``function`` is a module's own function and shards and results can be pickled. An error of the function
        reaches the caller as it is.
        """

    def as_completed(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        """Yield the number of a shard and ``function(shard)``, each as soon as it is there."""
