"""Finds the images of a version that are the same: an index proposes, then pairs are compared, in two steps."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from curation.audit.candidate_index import Candidates, propose
from curation.audit.crop_matching import (
    FINE,
    QUICK,
    Compared,
    Match,
    Placed,
    compare,
    compare_closely,
    first_places,
    join_compared,
    turn_each,
)
from curation.audit.file_shards import FileContent, FileShard, map_files, read_content
from curation.audit.measurements import Measured, Pixels, resize_gray
from curation.audit.resampling import Floats
from curation.cross_validation import wilson_interval
from curation.engines import Engine, Local
from curation.storage.progress import Progress, SilentProgress, show_progress

MAX_COMPARED: Final = 20_000
"""Of more candidates the nearest half of so many are compared, and a sample of the others: enough to state how many
there are within one in a thousand."""
SHARD_PAIRS: Final = 256
CLOSE_PAIRS: Final = 32


@dataclass(frozen=True)
class Estimate:
    """How many pairs of a kind there are, where only a sample was compared.

    Parameters
    ----------
    value : float
    low, high : float
        The 95 % interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class SameImages:
    """The pairs of images that are the same, and how they were searched.

    Parameters
    ----------
    matches : tuple of Match
        Rows of the readable images; the smallest difference first.
    candidates, compared : int
        Pairs that the index proposed, and how many of them were compared.
    sampled : int
        How many of those are a random sample of ``rest``.
    rest : int
        Candidates beyond the nearest ones.
    in_sample : frozenset of (int, int)
        The matches, as pairs of rows in ascending order, that the sample holds.
    """

    matches: tuple[Match, ...] = ()
    candidates: int = 0
    compared: int = 0
    sampled: int = 0
    rest: int = 0
    in_sample: frozenset[tuple[int, int]] = frozenset()

    def describe(self) -> str:
        """Return how many pairs were compared, in words."""
        every = f"of {self.candidates:,} near pairs"
        if not self.rest:
            return f"{every} all were aligned and compared"
        return f"{every} the nearest {self.compared - self.sampled:,} and a sample of {self.sampled:,} were compared"

    def facts(self, matches: Sequence[Match]) -> dict[str, Any]:
        """Return what a finding of these pairs states in addition: an estimate where only a sample was compared."""
        estimate = self.estimate(matches)
        return {} if estimate is None else {"estimate": [estimate.value, estimate.low, estimate.high]}

    def estimate(self, matches: Sequence[Match]) -> Estimate | None:
        """Return how many pairs like these there are; None where every candidate was compared."""
        if not self.rest:
            return None
        hits = sum(match.pair in self.in_sample for match in matches)
        sure = len(matches) - hits
        low, high = wilson_interval(hits, self.sampled)
        return Estimate(
            sure + hits / self.sampled * self.rest,
            max(float(len(matches)), sure + low * self.rest),
            sure + high * self.rest,
        )


Pairs: TypeAlias = tuple[Pixels, Pixels, Placed]
FilePairs: TypeAlias = FileShard[tuple[NDArray[np.int64], Compared]]
"""The files of n pairs, one after the other; the orientations of the first ones, and the result of comparing them."""


def find_same_images(
    measured: Measured, *, tolerance: float = 1.0, engine: Engine | None = None, progress: Progress | None = None
) -> SameImages:
    """Return the pairs on two sides of the split, or with two labels, that show the same image.

    Parameters
    ----------
    measured : Measured
    tolerance : float
        Factor on how much two files of one image may differ in one place; smaller is stricter.
    engine : Engine, optional
        Where pairs are compared; this process by default.
    progress : Progress, optional
        Shows the progress.
    """
    engine, progress, readable = engine or Local(), progress or SilentProgress(), measured.readable
    candidates = propose(measured.gray, _numbers(readable["split"]), _numbers(readable["label"]), progress=progress)
    chosen, sampled = _choose(candidates)
    compared = _compare(measured.gray, chosen, engine, progress)
    hopeful = np.flatnonzero(compared.difference <= QUICK * max(1.0, tolerance))
    files = [Path(file) for file in readable["file"]]
    matches = _compare_files(
        files, chosen.take(hopeful), compared.take(hopeful), tolerance=tolerance, engine=engine, progress=progress
    )
    first = len(chosen) - sampled
    late = {
        (min(one, other), max(one, other)) for one, other in zip(*_ends(chosen.take(slice(first, None))), strict=True)
    }
    return SameImages(
        matches=tuple(matches),
        candidates=len(candidates),
        compared=len(chosen),
        sampled=sampled,
        rest=len(candidates) - first if sampled else 0,
        in_sample=frozenset(key for match in matches if (key := match.pair) in late),
    )


def _numbers(values: pl.Series) -> NDArray[np.int64]:
    """Return each value as its number among the sorted distinct ones: (n,) int64."""
    return values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _choose(candidates: Candidates) -> tuple[Candidates, int]:
    """Return the candidates to compare, the random sample last, and the size of that sample."""
    if len(candidates) <= MAX_COMPARED:
        return candidates, 0
    nearest = MAX_COMPARED // 2
    others = np.random.default_rng(0).permutation(np.arange(nearest, len(candidates)))[: MAX_COMPARED - nearest]
    return candidates.take(np.concatenate([np.arange(nearest), np.sort(others)])), len(others)


def _ends(candidates: Candidates) -> tuple[list[int], list[int]]:
    return candidates.one.tolist(), candidates.other.tolist()


def _compare(gray: Pixels, candidates: Candidates, engine: Engine, progress: Progress) -> Compared:
    start_places = first_places(candidates)
    shards: list[Pairs] = []
    for start in range(0, len(candidates), SHARD_PAIRS):
        part = slice(start, start + SHARD_PAIRS)
        whole = turn_each(gray[candidates.one[part]], candidates.symmetry[part])
        shards.append((whole, gray[candidates.other[part]], start_places.take(part)))
    found: list[Compared] = []
    with show_progress(progress, "compare pairs", 2 * len(candidates) * gray[:1].size) as advance:
        for shard, result in zip(shards, engine.map(compare_shard, shards), strict=True):
            found.append(result)
            advance(shard[0].size * 2)
    return join_compared(found)


def compare_shard(shard: Pairs) -> Compared:
    """Compare the pairs of one shard; the work of one worker."""
    with threadpool_limits(1):
        return compare(*shard)


def _compare_files(
    files: Sequence[Path],
    candidates: Candidates,
    compared: Compared,
    *,
    tolerance: float,
    engine: Engine,
    progress: Progress,
) -> list[Match]:
    """Return the candidates that hold when their published files are compared at a higher resolution."""
    parts = [slice(start, start + CLOSE_PAIRS) for start in range(0, len(candidates), CLOSE_PAIRS)]
    shards: list[FilePairs] = []
    for part in parts:
        pairs = zip(candidates.one[part], candidates.other[part], strict=True)
        names = tuple(files[row] for pair in pairs for row in pair)
        shards.append(FileShard(names, (candidates.symmetry[part], compared.take(part))))
    sizes = [sum(file.stat().st_size for file in shard.files if isinstance(file, Path)) for shard in shards]
    matches: list[Match] = []
    with show_progress(progress, "compare files", sum(sizes)) as advance:
        for part, size, (scale, ratio) in zip(parts, sizes, map_files(engine, compare_files, shards), strict=True):
            pairs_seen = zip(*_ends(candidates.take(part)), compared.exchanged[part].tolist(), strict=True)
            for (one, other, exchanged), side, difference in zip(
                pairs_seen, scale.tolist(), ratio.tolist(), strict=True
            ):
                if difference <= tolerance:
                    crop, whole = (other, one) if exchanged else (one, other)
                    matches.append(Match(crop, whole, scale=side, difference=difference))
            advance(size)
    return sorted(matches, key=lambda match: (round(match.difference, 4), match.pair))


def compare_files(shard: FilePairs) -> tuple[Floats, Floats]:
    """Compare the files of one shard closely: the crop's side, and the difference; the work of one worker."""
    symmetry, compared = shard.setting
    read: dict[FileContent, Pixels] = {}
    for file in shard.files:
        if file not in read:
            read[file] = resize_gray(Image.open(io.BytesIO(read_content(file))).convert("RGB"), FINE)
    images = np.stack([read[file] for file in shard.files])
    first, second = turn_each(images[::2], symmetry), images[1::2]
    pick = compared.exchanged[:, None, None]
    with threadpool_limits(1):
        placed, difference = compare_closely(
            np.where(pick, second, first), np.where(pick, first, second), compared.placed
        )
    return placed.scale, difference
