"""Plans an all-pairs search: which bands of bits to probe, and what that costs, estimated from a sample."""

from dataclasses import dataclass, replace
from math import comb
from random import Random
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Method = Literal["auto", "bands", "all pairs"]

BITS: Final = 64
_MAX_WIDTH: Final = 22  # a table of 2**22 offsets takes 16 MB
_SAMPLE: Final = 1 << 15
_MASKS: Final = 6
CLUMPED_SKEW: Final = 4.0
"""Candidates over those of uniform hashes from which on hashes count as clumped."""
SLOW_CANDIDATES: Final = 10_000_000_000
"""Candidates from which on a search of clumped hashes takes minutes."""

# Measured nanoseconds of a probe, a candidate, and a pair and a row in all-pairs order; they only choose the plan.
_PROBE_COST: Final = 2.5
_CANDIDATE_COST: Final = 5.0
_PAIR_COST: Final = 0.6
_ROW_COST: Final = 2000.0


@dataclass(frozen=True)
class Band:
    """Bits ``shift`` to ``shift + width`` of the reordered hash, probed to ``threshold`` flipped bits."""

    shift: int
    width: int
    threshold: int

    @property
    def masks(self) -> int:
        """The number of probes a hash: sum of binomials up to the threshold."""
        return sum(comb(self.width, flips) for flips in range(self.threshold + 1))


@dataclass(frozen=True)
class SearchReport:
    """The cost of a search, estimated before it starts.

    Parameters
    ----------
    rows, distinct : int
        Hashes given, and those left once equal ones are collapsed.
    method : {"bands", "all pairs"}
    bands : tuple of Band
        Empty for all pairs.
    candidates : int
        Pairs whose 64 bits will be compared, estimated from a sample.
    skew : float
        Candidates of the bands over what uniform hashes would give: 1 for random ones.
    """

    rows: int
    distinct: int
    radius: int
    method: Literal["bands", "all pairs"]
    bands: tuple[Band, ...]
    order: tuple[int, ...]
    candidates: int
    skew: float

    @property
    def is_slow(self) -> bool:
        """Whether the hashes are so clumped that the search takes minutes or more."""
        return self.skew >= CLUMPED_SKEW and self.candidates >= SLOW_CANDIDATES

    @property
    def warning(self) -> str | None:
        """What a user should know before waiting, or None."""
        if not self.is_slow:
            return None
        return (
            f"The {self.distinct:,} distinct hashes are clumped ({self.skew:,.0f} times denser than random ones): "
            f"about {self.candidates:,} comparisons at radius {self.radius} by {self.method}. The result stays exact "
            "and the memory bounded; the time grows. A smaller radius helps."
        )


def choose_plan(hashes: NDArray[np.uint64], radius: int, *, orientations: int, method: Method) -> SearchReport:
    """Choose bands, or all pairs, by the cost estimated from a sample of the hashes."""
    n = len(hashes)
    sample = hashes if n <= _SAMPLE else np.random.default_rng(0).choice(hashes, _SAMPLE, replace=False, shuffle=False)
    order = _balance_bits(sample)
    sample = reorder(sample, order)
    pairs = n * (n - 1) // 2 * ((orientations + 1) // 2)
    all_pairs = SearchReport(n, n, radius, "all pairs", (), order, pairs, 1.0)
    plans: list[tuple[float, SearchReport]] = []
    for count in range(1, min(radius + 1, BITS // 4) + 1):
        bands = _cut_bands(count, radius, n)
        candidates, uniform = _estimate_candidates(sample, bands, n)
        cost = orientations * (sum(band.masks for band in bands) * n / 2 * _PROBE_COST + candidates * _CANDIDATE_COST)
        skew = candidates / uniform if uniform else 1.0
        report = SearchReport(n, n, radius, "bands", bands, order, int(orientations * candidates), skew)
        plans.append((cost, report))
    cost, by_bands = min(plans, key=lambda plan: plan[0])
    if method == "all pairs" or (method == "auto" and pairs * _PAIR_COST + n * _ROW_COST < cost):
        return replace(all_pairs, skew=by_bands.skew)
    return by_bands


def _cut_bands(count: int, radius: int, n: int) -> tuple[Band, ...]:
    width = min(BITS // count, _MAX_WIDTH, max(8, n.bit_length() + 1))
    slack = radius - count + 1
    shares = [slack // count + (number < slack % count) for number in range(count)]
    return tuple(Band(number * width, width, min(share, width)) for number, share in enumerate(shares))


def _estimate_candidates(sample: NDArray[np.uint64], bands: tuple[Band, ...], n: int) -> tuple[float, float]:
    """Return the expected candidates of the bands for ``n`` hashes like the sample, and for ``n`` uniform ones."""
    rng = Random(0)  # noqa: S311 - draws a sample, and the same one always
    met = uniform = 0.0
    for band in bands:
        values = ((sample >> np.uint64(band.shift)) & np.uint64((1 << band.width) - 1)).astype(np.intp)
        met_values, times = np.unique(values, return_counts=True)
        counts = np.zeros(1 << band.width, np.uint16)  # the sample has fewer than 65,536
        counts[met_values] = times
        for flips in range(band.threshold + 1):
            bits = [rng.sample(range(band.width), flips) for _ in range(_MASKS if flips else 1)]
            masks = [sum(1 << bit for bit in chosen) for chosen in bits]
            others = sum(int(counts[values ^ mask].sum()) for mask in masks) / len(masks) - (
                0 if flips else len(values)
            )
            chance = max(others / max(len(sample) * (len(sample) - 1), 1), 2.0**-band.width)
            met += comb(band.width, flips) * chance
            uniform += comb(band.width, flips) * 2.0**-band.width
    pairs = n * (n - 1) / 2
    return met * pairs, uniform * pairs


def _balance_bits(sample: NDArray[np.uint64]) -> tuple[int, ...]:
    """Return the bits dealt to the bands: the most evenly set first, so that no band gets the constant ones alone."""
    bits = np.unpackbits(np.ascontiguousarray(sample.astype("<u8")).view(np.uint8), bitorder="little")
    share = bits.reshape(-1, BITS).mean(axis=0) if len(sample) else np.zeros(BITS)
    uneven = np.argsort(np.abs(share - 0.5).round(2), kind="stable")
    return tuple(int(bit) for bit in uneven)


def reorder(hashes: NDArray[np.uint64], order: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return the hashes with bit ``order[p]`` moved to place ``p``, a byte at a time."""
    octets = np.ascontiguousarray(hashes.astype("<u8", copy=False)).view(np.uint8).reshape(-1, 8)
    moved = np.zeros(len(hashes), np.uint64)
    place = {bit: target for target, bit in enumerate(order)}
    for octet in range(8):
        spread = np.zeros(256, np.uint64)
        for bit in range(8):
            spread[(np.arange(256) >> bit) & 1 == 1] |= np.uint64(1 << place[8 * octet + bit])
        moved |= spread[octets[:, octet]]
    return moved
