"""The shortcut check: it finds what was planted and finds nothing where there is nothing."""

import numpy as np
import polars as pl
import pytest

from training.bias_probes import border_mask, look_for_shortcuts
from training.data import Samples


def make_samples(kind: str, count: int = 60) -> Samples:
    """Return noise images whose class shows in one thing alone."""
    random = np.random.default_rng(1)
    labels = np.arange(count, dtype=np.int64) % 2
    frames = random.integers(90, 160, (count, 144, 144, 3)).astype(np.float64)
    frames += random.normal(0, 10, (count, 1, 1, 3))
    for number in np.flatnonzero(labels):
        if kind == "border":
            frames[number, :8] += 60
            frames[number, -8:] -= 60
        elif kind == "color":
            frames[number] += (30, 0, -30)
        elif kind == "sharpness":
            mean = frames[number].mean(axis=(0, 1))
            frames[number] = mean + (frames[number] - mean) * 0.3
        elif kind == "middle":
            frames[number, 60:84, 60:84] *= 0.4
            frames[number] += frames[number - 1].mean() - frames[number].mean()
    table = pl.DataFrame({"group": [str(number) for number in range(count)], "split": ["train"] * count})
    pixels = np.clip(frames, 0, 255).astype(np.uint8)
    return Samples(table, labels, pixels, pixels[:, ::3, ::3])


@pytest.mark.parametrize("kind", ["border", "color", "sharpness"])
def test_a_planted_shortcut_is_found(kind):
    """Where one thing gives the class away, the classifier that sees only that is right nearly always."""
    found = {
        shortcut.name: shortcut.accuracy.share
        for shortcut in look_for_shortcuts(make_samples(kind), side=48, folds=3, seed=1)
    }
    assert found[kind] > 0.9


def test_where_only_the_middle_differs_the_border_predicts_nothing():
    """A dark spot in the middle, the same mean: the border is no better than chance."""
    found = {one.name: one.accuracy for one in look_for_shortcuts(make_samples("middle"), side=48, folds=3, seed=1)}
    assert found["border"].low < 0.6
    assert found["border"].of == 60


@pytest.mark.parametrize("side", [48, 96])
def test_the_border_is_a_sixth_wide(side):
    """The outer sixth on every side, two thirds of the side left out in the middle."""
    mask = border_mask(side)
    assert mask.sum() == side**2 - (side * 2 // 3) ** 2
    assert mask[0].all()
    assert mask[:, 0].all()
    assert not mask[side // 2, side // 2]
