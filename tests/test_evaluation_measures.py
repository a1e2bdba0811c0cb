"""Measures on constructed cases, where the right answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.evaluation.measures import Motion, boundary_f, flicker, iou, steady

Mask = npt.NDArray[np.bool_]
SHIFT_PX = 3


def square(left: int = 60, *, side: int = 80, size_hw: tuple[int, int] = (200, 300)) -> Mask:
    mask = np.zeros(size_hw, np.bool_)
    mask[50 : 50 + side, left : left + side] = True
    return mask


def grain(seed: int = 3) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(seed).standard_normal((200, 300)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.asarray(128 + 100 * noise / np.abs(noise).max(), np.uint8)


def test_iou_of_masks() -> None:
    one, two = np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    assert iou(one, two) == 1.0
    one[:2], two[1:3] = True, True
    assert iou(one, two) == pytest.approx(1 / 3)


def test_a_boundary_within_the_tolerance_is_right() -> None:
    assert boundary_f(square(), square()) == 1.0
    assert boundary_f(square(60), square(62)) == 1.0  # 0.008 * 361 = 2.9 px
    assert 0.4 < boundary_f(square(60), square(68)) < 0.6  # two of four sides are away
    assert boundary_f(square(10), square(200)) == 0.0


def test_a_boundary_where_there_is_none() -> None:
    nothing, everything = np.zeros((200, 300), np.bool_), np.ones((200, 300), np.bool_)
    assert boundary_f(nothing, nothing) == 1.0
    assert boundary_f(nothing, everything) == 1.0
    assert boundary_f(nothing, square()) == boundary_f(square(), nothing) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_boundary_f_is_the_one_of_the_davis_code(seed: int) -> None:
    """Against dilation with a disk, as in davis2016's f_boundary.py."""
    blobs = [cv2.GaussianBlur(grain(seed + n), (0, 0), 6.0) > 132 for n in (0, 0, 50)]
    blobs[1] = np.roll(blobs[1], 2 * seed, axis=1)
    reach = int(np.ceil(0.008 * np.hypot(200, 300)))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (rows**2 + columns**2 <= reach**2).astype(np.uint8)

    def edge(mask: Mask) -> Mask:
        right, below, both = mask.copy(), mask.copy(), mask.copy()
        right[:, :-1], below[:-1], both[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
        both[-1, :-1], both[:-1, -1] = mask[-1, 1:], mask[1:, -1]
        return np.asarray((mask ^ right) | (mask ^ below) | (mask ^ both))

    def share(one: Mask, other: Mask) -> float:
        near = cv2.dilate(other.astype(np.uint8), disk, borderValue=0) > 0
        return float((one & near).sum() / one.sum())

    for matte, truth in ((blobs[0], blobs[1]), (blobs[0], blobs[2])):
        p, r = share(edge(matte), edge(truth)), share(edge(truth), edge(matte))
        assert boundary_f(matte, truth) == pytest.approx(2 * p * r / (p + r), abs=1e-6)


@pytest.fixture(scope="module")
def motion() -> Motion:
    """Everything goes SHIFT_PX to the right."""
    return Motion.between(grain(), np.roll(grain(), SHIFT_PX, axis=1))


def soft(mask: Mask) -> npt.NDArray[np.float32]:
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0)


def test_an_alpha_that_moves_with_the_picture_does_not_flicker(motion: Motion) -> None:
    truth, before = square(60 + SHIFT_PX), square(60)
    where = steady(truth.astype(np.float32), before.astype(np.float32), motion)
    assert where.mean() > 0.9
    assert flicker(soft(truth), soft(before), motion, where) < 0.002
    assert flicker(soft(before), soft(before), motion, where) > 0.005  # it stays behind


def test_an_alpha_that_changes_by_itself_flickers_by_that(motion: Motion) -> None:
    nothing = np.zeros((200, 300), np.float32)
    where = steady(nothing, nothing, motion)
    assert flicker(nothing + 0.2, nothing, motion, where) == pytest.approx(0.2)
    assert flicker(nothing + 1, nothing, motion, np.zeros_like(where)) == 0.0


def test_a_true_change_is_no_flicker(motion: Motion) -> None:
    truth, before = square().astype(np.float32), np.zeros((200, 300), np.float32)
    where = steady(truth, before, motion)
    assert not where[50:130, 60:140].any()
    assert not where[48, 100]  # the margin
    assert flicker(truth, before, motion, where) == 0.0


def test_motion_that_is_not_there_is_not_trusted() -> None:
    earlier, now = grain(1), grain(1)
    now[60:140, 100:200] = grain(2)[60:140, 100:200]
    motion = Motion.between(earlier, now)
    assert motion.trusted[70:130, 110:190].mean() < 0.6
    assert motion.trusted[:, :80].mean() > 0.95
