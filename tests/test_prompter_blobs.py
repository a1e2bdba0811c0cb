"""Blobs of a map, and the confidence made of them."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.models.prompters.blobs import MOST_BLOBS, blobs_of
from promptmatte.models.prompters.calibration import LEAST_PEAK, UNAIDED, confidence

Map = npt.NDArray[np.float32]


def odds_of(probability: npt.NDArray[np.float64]) -> Map:
    return np.log(probability / (1.0 - probability)).astype(np.float32)


def field(low: float = 0.01) -> npt.NDArray[np.float64]:
    return np.full((40, 60), low)


def test_one_blob_has_its_box_its_middle_and_its_core() -> None:
    probability = field()
    probability[10:20, 30:50] = 0.9
    probability[12, 34:38] = 0.95
    odds = odds_of(probability)
    found = blobs_of(odds, odds - 1.0, term=3, core_pixels=4)
    (blob,) = found.blobs
    assert (blob.term, blob.box) == (3, (30, 10, 50, 20))
    assert np.array_equal(found.labels == blob.label, probability > 0.5)
    x, y = blob.point
    assert 34 < x < 46
    assert 13 < y < 17
    assert blob.core_odds == pytest.approx(np.log(0.95 / 0.05), rel=1e-4)
    assert blob.core_margin == pytest.approx(blob.core_odds - 1.0, rel=1e-4)
    assert blob.mass == pytest.approx(196 * 0.9 + 4 * 0.95, rel=1e-4)
    assert found.level == pytest.approx(np.log(0.475 / 0.525), rel=1e-4)


def test_the_point_of_a_ring_is_on_the_ring() -> None:
    y, x = np.mgrid[:40, :60]
    far = np.hypot(y - 20, x - 30)
    probability = np.where((far > 8) & (far < 15), 0.9, 0.01)
    odds = odds_of(probability)
    (blob,) = blobs_of(odds, odds, term=0, core_pixels=4).blobs
    column, row = (int(value) for value in blob.point)
    assert probability[row, column] == 0.9
    assert 10 < far[row, column] < 13


def test_the_point_lies_where_the_map_is_higher() -> None:
    probability = field()
    probability[10:30, 10:30] = 0.5
    probability[10:30, 30:50] = 0.9
    odds = odds_of(probability)
    (blob,) = blobs_of(odds, odds, term=0, core_pixels=4).blobs
    assert blob.point[0] > 30


def test_a_faint_map_has_blobs_by_its_own_peak_and_an_empty_one_none() -> None:
    faint = field()
    faint[5:15, 5:15] = 0.2
    odds = odds_of(faint)
    assert len(blobs_of(odds, odds, term=0, core_pixels=4).blobs) == 1
    nothing = odds_of(field(LEAST_PEAK * 0.9))
    found = blobs_of(nothing, nothing, term=0, core_pixels=4)
    assert found.blobs == []
    assert found.core_odds == pytest.approx(float(nothing[0, 0]))
    assert not found.labels.any()


def test_blobs_come_largest_first_without_specks_and_bounded() -> None:
    probability = field()
    for n in range(8):
        probability[4 * n : 4 * n + 3, : 5 + 5 * n] = 0.9
    probability[36, 58] = 0.9
    odds = odds_of(probability)
    blobs = blobs_of(odds, odds, term=0, core_pixels=4).blobs
    assert len(blobs) == MOST_BLOBS
    masses = [blob.mass for blob in blobs]
    assert masses == sorted(masses, reverse=True)
    assert blobs[0].box == (0, 28, 40, 31)
    few = odds_of(np.where(np.arange(60) < 30, 0.9, 0.01) * np.ones((40, 1)))
    few[20, 58] = 3.0
    assert len(blobs_of(few, few, term=0, core_pixels=4).blobs) == 1


def test_a_map_that_is_all_thing_is_one_blob() -> None:
    full = odds_of(field(0.99))
    (blob,) = blobs_of(full, full, term=0, core_pixels=4).blobs
    assert blob.box == (0, 0, 60, 40)
    assert 15 < blob.point[1] < 25


def test_confidence_rises_with_each_of_what_it_is_made_of() -> None:
    steps = (-6.0, -2.0, 0.0, 2.0, 6.0)
    for odds, margin in itertools.product(steps, steps):
        row = [
            confidence(core_odds=odds, core_margin=margin, agreement=agreement)
            for agreement in (0.0, 0.2, 0.3, 0.4, 1.0)
        ]
        assert row == sorted(row)
        assert row[0] == pytest.approx(UNAIDED * row[-1])
        assert 0.0 <= row[0] <= row[-1] <= 1.0
    for fixed in steps:
        rising = [confidence(core_odds=s, core_margin=fixed, agreement=0.5) for s in steps]
        assert rising == sorted(rising)
        rising = [confidence(core_odds=fixed, core_margin=s, agreement=0.5) for s in steps]
        assert rising == sorted(rising)


def test_absent_and_present_lie_to_either_side_of_the_usual_floor() -> None:
    # One of fifty words that are all equally unlike: 2 % together, a half against the best.
    assert confidence(core_odds=-3.9, core_margin=0.0, agreement=1.0) < 0.15
    # Behind another word by two logits.
    assert confidence(core_odds=-2.5, core_margin=-2.0, agreement=1.0) < 0.12
    # Ahead of all together, with and without SAM's help.
    assert confidence(core_odds=1.0, core_margin=2.0, agreement=0.0) > 0.5
    assert confidence(core_odds=1.0, core_margin=2.0, agreement=0.6) > 0.75
