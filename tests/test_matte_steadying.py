import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.matte.propagation import grid
from promptmatte.matte.steadying import Steadier

STILL = grid(40, 60)
Mask = npt.NDArray[np.float32]


def flat(value: float) -> Mask:
    return np.full((1, 40, 60), value, np.float32)


def settled(value: float) -> Steadier:
    steadier = Steadier()
    steadier.anchor()
    for _ in range(4):
        steadier.steadied(flat(value), STILL, [0.5])
    return steadier


def test_noise_is_smoothed_and_change_is_not() -> None:
    assert settled(0.5).steadied(flat(0.6), STILL, [0.5]).mean() == pytest.approx(0.53, abs=0.001)
    assert settled(0.0).steadied(flat(1.0), STILL, [0.5]).mean() == pytest.approx(1.0)


@pytest.mark.parametrize("mask", [flat(0.2), flat(1.0)])
def test_without_smoothing_masks_are_passed_on(mask: Mask) -> None:
    assert settled(0.5).steadied(mask, STILL, [0.0]) is mask


def test_a_new_anchor_is_let_in_over_three_frames() -> None:
    steadier = settled(0.0)
    steadier.anchor()
    shown = [float(steadier.steadied(flat(1.0), STILL, [0.5]).mean()) for _ in range(3)]
    assert 0.3 < shown[0] < 0.7
    assert shown[0] < shown[1] < shown[2]
    assert shown[2] > 0.7
    for _ in range(8):
        steadier.steadied(flat(1.0), STILL, [0.5])
    assert steadier.steadied(flat(1.0), STILL, [0.5]).mean() > 0.95


def test_what_was_shown_moves_with_the_picture() -> None:
    mask = np.zeros((1, 40, 60), np.float32)
    mask[:, 10:30, 10:30] = 1.0
    moved = np.roll(mask, 7, axis=2)
    way = STILL - np.array([7, 0], np.float32)
    steadier = Steadier()
    steadier.steadied(mask, STILL, [1.0])
    assert np.array_equal(steadier.steadied(moved, way, [1.0]), moved)


def test_each_mask_has_its_own_smoothing() -> None:
    steadier = Steadier()
    steadier.steadied(np.concatenate([flat(0.5)] * 2), STILL, [0.0, 1.0])
    shown = steadier.steadied(np.concatenate([flat(0.7)] * 2), STILL, [0.0, 1.0])
    assert shown[0].mean() == pytest.approx(0.7)
    assert shown[1].mean() < 0.55


def test_another_number_of_masks_or_a_reset_starts_anew() -> None:
    steadier = settled(0.0)
    two = np.concatenate([flat(1.0)] * 2)
    assert steadier.steadied(two, STILL, [1.0, 1.0]) is two
    steadier = settled(0.0)
    steadier.reset()
    assert steadier.steadied(flat(0.3), STILL, [1.0]).mean() == pytest.approx(0.3)
