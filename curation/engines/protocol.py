"""What every engine does, wherever it does it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerCrashedError(Exception):
    """Raised where a worker was ended by a fault of its own code: a decoder that reads beyond its memory.

    Attributes
    ----------
    unfinished : tuple of int
        The numbers of the shards that were worked on, or waited, when it happened; one of them is the cause.
    """

    def __init__(self, unfinished: Sequence[int] = ()) -> None:
        super().__init__(f"a worker crashed at one of the shards {list(unfinished)}")
        self.unfinished = tuple(unfinished)


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

    def each_alone(
        self, function: Callable[[Task], Result], shards: Sequence[Task]
    ) -> Iterator[tuple[int, Result | None]]:
        """Yield number and ``function(shard)`` of one shard at a time; None where that crashes its process twice."""


def survive_crashes(
    engine: Engine,
    function: Callable[[Task], Result],
    shards: Sequence[Task],
    *,
    split: Callable[[Task], Sequence[Task]],
    join: Callable[[Task, Sequence[Result | None]], Result],
) -> Iterator[tuple[int, Result]]:
    """Yield what ``engine.as_completed`` does, also where a shard crashes its worker.

    The shards that were unfinished then are repeated piece by piece, each piece alone; a crash that comes again costs
    that piece and no other.

    Parameters
    ----------
    split : function from a shard to its pieces, which are shards too
    join : function from a shard and the results of its pieces, None for one that crashes, to the shard's result
    """
    left = dict(enumerate(shards))
    while left:
        numbers = list(left)
        try:
            for place, result in engine.as_completed(function, [left[number] for number in numbers]):
                del left[numbers[place]]
                yield numbers[place], result
            return
        except WorkerCrashedError as crash:
            suspects = [numbers[place] for place in crash.unfinished if numbers[place] in left]
        for number in suspects:
            shard = left.pop(number)
            pieces = dict(engine.each_alone(function, split(shard)))
            yield number, join(shard, [pieces[place] for place in range(len(pieces))])
