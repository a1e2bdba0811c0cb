"""Faint parts of a mask of the embedded model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from promptmatte.models.embedded_parts import without_faint_parts

Logits = npt.NDArray[np.float32]


def mask(*peaks: float) -> Logits:
    """Squares of these logits, apart from each other, in a background of -3 with borders of -1."""
    logits = np.full((24, 20 * len(peaks)), -3.0, np.float32)
    for index, peak in enumerate(peaks):
        left = 20 * index + 4
        logits[5:19, left - 1 : left + 13] = -1.0
        logits[6:18, left : left + 12] = peak
    return logits


def test_a_patch_that_is_hardly_believed_in_goes_with_its_border() -> None:
    logits = mask(8.0, 2.0)
    found = without_faint_parts(logits)
    np.testing.assert_array_equal(found[:, :20], logits[:, :20])
    assert found[5:19, 23:37].max() < -10


def test_a_second_thing_stays() -> None:
    logits = mask(8.0, 6.0, 5.0)
    np.testing.assert_array_equal(without_faint_parts(logits), logits)


def test_a_faint_mask_that_is_alone_stays() -> None:
    for logits in (mask(0.5), mask(-2.0), mask(0.5, 0.4)):
        np.testing.assert_array_equal(without_faint_parts(logits), logits)


def test_what_touches_the_strong_is_a_part_of_it() -> None:
    logits = mask(8.0, 1.0)
    logits[10:12, :] = 1.0
    np.testing.assert_array_equal(without_faint_parts(logits), logits)


def test_the_given_logits_are_left_alone() -> None:
    logits = mask(8.0, 1.0)
    before = logits.copy()
    without_faint_parts(logits)
    np.testing.assert_array_equal(logits, before)
