"""Rates, curves and calibration: against known values and by their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate import LED_THRESHOLD, rate, score


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(16, 16, 0.8064, 1.0), (0, 10, 0.0, 0.2775), (81, 263, 0.2553, 0.3662)]
)
def test_intervals_are_wilson_s(hits, of, low, high):
    """The bounds are the published ones of the score interval (81 of 263: Newcombe 1998, table I)."""
    found = rate(hits, of)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)


def test_the_rate_of_nothing_is_unknown():
    """Without trials there is no share, and the interval is 0 to 1."""
    found = rate(0, 0)
    assert (found.share, found.low, found.high) == (None, 0.0, 1.0)
    assert str(found) == "none"


@given(st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_its_share(pair):
    """Low, share and high are in order and within 0 and 1."""
    found = rate(*pair)
    assert 0 <= found.low <= found.share <= found.high <= 1


def test_scores_of_a_worked_example():
    """Four images, one false alarm, one miss, counted by hand."""
    labels = np.array([1, 1, 0, 0])
    probabilities = np.array([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]], np.float32)
    found = score(labels, probabilities, classes=2, alarm=1)
    assert found.confusion == ((1, 1), (1, 1))
    assert (found.accuracy.hits, found.sensitivity.hits, found.specificity.hits) == (2, 1, 1)
    assert found.roc_auc == 0.75
    assert found.led.threshold == LED_THRESHOLD == 0.8
    assert (found.led.sensitivity.share, found.led.specificity.share) == (0.5, 1.0)
    assert found.brier == pytest.approx((2 * 0.01 + 2 * 0.36 + 2 * 0.49 + 2 * 0.01) / 4)
    assert found.calibration_error == pytest.approx((abs(0.9 - 1) * 2 + 0.6 + 0.7) / 4)


def test_the_alarm_may_be_any_class():
    """Of three classes each can be the one that is warned of; all others together are the other side."""
    labels = np.array([0, 1, 2, 2])
    probabilities = np.eye(3, dtype=np.float32)[[0, 2, 2, 1]]
    found = score(labels, probabilities, classes=3, alarm=2)
    assert (found.sensitivity.hits, found.sensitivity.of) == (1, 2)
    assert (found.specificity.hits, found.specificity.of) == (1, 2)


def test_one_sided_images_have_no_curve():
    """Where every image is of the alarm class there is no area under a curve."""
    found = score(np.array([1, 1]), np.array([[0.2, 0.8], [0.1, 0.9]], np.float32), classes=2, alarm=1)
    assert (found.roc_auc, found.pr_auc, found.specificity.share) == (None, None, None)


def test_a_threshold_is_passed_only_from_above():
    """Exactly 80 % does not make the light blink."""
    found = score(np.array([1]), np.array([[0.2, 0.8]], np.float64), classes=2, alarm=1)
    assert found.led.sensitivity.share == 0.0
