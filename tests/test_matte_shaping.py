"""Controls at work on shapes whose size is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.controls import Controls
from promptmatte.matte.shaping import WIDEST_SOFTNESS_PX, finish_alpha, shape_mask

Plane = npt.NDArray[np.uint8]
SIZES_HW = [(270, 480), (540, 960), (1080, 1440)]


def controls(channel: int | None = None, **values: Any) -> Controls:
    return Controls().replaced(values, channel=channel)


def disc(size_hw: tuple[int, int] = (540, 960), radius_px: float = 0.0) -> Plane:
    """An antialiased disc [H, W, 1] in the middle, by default a fifth of the height."""
    height, width = size_hw
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2)
    edge = (radius_px or height / 5) - away + 0.5
    return np.round(255 * np.clip(edge, 0, 1)).astype(np.uint8)[:, :, np.newaxis]


def edge_of_straight_side(alpha: Plane) -> float:
    """Column of the half line, along the middle row."""
    row = alpha[len(alpha) // 2, :, 0].astype(float) / 255
    first = int(np.argmax(row >= 0.5))
    return first - (row[first] - 0.5) / (row[first] - row[first - 1])


def side(size_hw: tuple[int, int] = (540, 960)) -> Plane:
    """A hard edge down the middle: the right half is in."""
    alpha = np.zeros((*size_hw, 1), np.uint8)
    alpha[:, size_hw[1] // 2 :] = 255
    return alpha


def radius_of(alpha: Plane) -> float:
    return float(np.sqrt(alpha.sum(dtype=np.float64) / 255 / np.pi))


def finished(alpha: Plane, **values: Any) -> Plane:
    return finish_alpha(alpha.copy(), controls(**values), alpha.shape[2])


def test_defaults_cost_nothing() -> None:
    mask = np.random.default_rng(1).random((4, 9, 16), np.float32)
    alpha = np.random.default_rng(1).integers(0, 256, (9, 16, 4), np.uint8)
    before = mask.copy(), alpha.copy()
    assert shape_mask(mask, Controls()) is mask
    assert finish_alpha(alpha, Controls(), 4) is alpha
    assert np.array_equal(mask, before[0])
    assert np.array_equal(alpha, before[1])


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("px", [0.5, 1.0, 2.3, 5.0, 12.7, 20.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_expand_moves_the_edge_by_px_of_540_lines(
    size_hw: tuple[int, int], px: float, sign: int
) -> None:
    before = disc(size_hw)
    after = finished(before, expand=sign * px)
    moved = (radius_of(after) - radius_of(before)) * 540 / size_hw[0]
    assert moved == pytest.approx(sign * px, abs=max(0.3, 0.02 * px) * 540 / min(540, size_hw[0]))


def test_an_expanded_disc_is_round() -> None:
    alpha = finished(disc(), expand=20.0)[:, :, 0]
    turned = np.hypot(*np.mgrid[-269.5:270, -479.5:480])
    assert turned[alpha >= 128].max() < 128 + 1.0
    assert turned[alpha < 128].min() > 128 - 1.0


def test_a_fraction_of_a_pixel_counts() -> None:
    radii = [radius_of(finished(disc(), expand=px)) for px in (1.0, 1.25, 1.5, 1.75, 2.0)]
    steps = np.diff(radii)
    assert steps.min() > 0.15
    assert steps.max() < 0.4


def test_choke_then_expand_gives_the_disc_back() -> None:
    before = disc()
    after = finished(finished(before, expand=-6.5), expand=6.5)
    assert radius_of(after) == pytest.approx(radius_of(before), abs=0.3)


def test_choke_leaves_what_the_border_of_the_picture_cuts() -> None:
    after = finished(side(), expand=-10.0)
    assert after[[0, -1], -1].min() == 255
    assert edge_of_straight_side(after) - edge_of_straight_side(side()) == pytest.approx(10.0)


@pytest.mark.parametrize("size_hw", [(270, 480), (540, 960), (541, 963), (3, 4)])
@pytest.mark.parametrize("px", [0.3, 1.0, 3.0, 10.0, 50.0])
def test_feather_keeps_the_half_line_and_widens_the_ramp(
    size_hw: tuple[int, int], px: float
) -> None:
    before = side(size_hw)
    after = finished(before, feather=px)
    assert edge_of_straight_side(after) == pytest.approx(edge_of_straight_side(before), abs=0.15)
    if size_hw[0] >= 270 and px >= 3.0:
        row = after[len(after) // 2, :, 0] / 255.0
        sigma = px * size_hw[0] / 540 / 2
        middle = size_hw[1] // 2
        outside = np.interp(middle - 0.5 - sigma, np.arange(len(row)), row)
        assert outside == pytest.approx(0.159, abs=0.04)  # a Gaussian's share beyond its sigma
        assert row[middle - round(4 * sigma) - 2] < 0.01


@pytest.mark.parametrize("softness", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("size_hw", [(270, 480), (540, 960)])
def test_softness_is_a_straight_ramp_about_the_half_line(
    size_hw: tuple[int, int], softness: float
) -> None:
    after = finished(side(size_hw), softness=softness)
    assert edge_of_straight_side(after) == pytest.approx(size_hw[1] // 2 - 0.5, abs=0.05)
    row = after[0, :, 0].astype(float)
    width = np.count_nonzero((row > 0) & (row < 255))
    expected = 2 * softness * WIDEST_SOFTNESS_PX * size_hw[0] / 540
    assert abs(width - expected) <= 2.0


def test_invert_turns_it_round_exactly() -> None:
    before = disc()
    assert np.array_equal(finished(before, invert=True), 255 - before)
    assert finished(np.zeros_like(before), invert=True).min() == 255


def test_the_order_is_softness_expand_feather_invert() -> None:
    together = finished(disc(), softness=0.4, expand=3.0, feather=2.0, invert=True)
    one_by_one = disc()
    for values in ({"softness": 0.4}, {"expand": 3.0}, {"feather": 2.0}, {"invert": True}):
        one_by_one = finished(one_by_one, **values)
    assert np.array_equal(together, one_by_one)


def test_each_channel_has_its_own_controls_and_unused_ones_stay_empty() -> None:
    alpha = np.concatenate([disc()] * 3 + [np.zeros_like(disc())], axis=2)
    several = controls(0, expand=5.0).replaced({"invert": True}, channel=1)
    several = several.replaced({"expand": -5.0}, channel=2).replaced({"invert": True}, channel=3)
    after = finish_alpha(alpha.copy(), several, 3)
    assert np.array_equal(after[..., :1], finished(disc(), expand=5.0))
    assert np.array_equal(after[..., 1], 255 - alpha[..., 1])
    assert np.array_equal(after[..., 2:3], finished(disc(), expand=-5.0))
    assert not after[..., 3].any()


def test_threshold_moves_its_value_to_the_half_and_keeps_the_ends() -> None:
    mask = np.array([[[0.0, 0.2, 0.3, 0.5, 1.0]]], np.float32)
    shaped = shape_mask(mask, controls(threshold=0.3))
    assert shaped.dtype == np.float32
    assert shaped[0, 0, [0, 2, 4]] == pytest.approx([0.0, 0.5, 1.0])
    assert (np.diff(shaped[0, 0]) > 0).all()
    assert shape_mask(mask, controls(threshold=0.7))[0, 0, 3] < 0.5


@pytest.mark.parametrize("height", [180, 270])
def test_smoothness_closes_a_gap_of_its_size_and_no_wider(height: int) -> None:
    line = height / 180
    narrow = np.ones((1, height, 2 * height), np.float32)
    narrow[:, :, round(100 * line) : round(104 * line)] = 0.0
    wide = np.ones_like(narrow)
    wide[:, :, round(100 * line) : round(112 * line)] = 0.0
    assert shape_mask(narrow, controls(smoothness=1)) is narrow
    assert shape_mask(narrow, controls(smoothness=2)).min() == 0.0
    assert shape_mask(narrow, controls(smoothness=4)).min() == 1.0
    assert shape_mask(wide, controls(smoothness=5)).min() == 0.0


def test_smoothness_grows_no_convex_shape() -> None:
    mask = (disc((180, 320), 40.0)[np.newaxis, :, :, 0] / 255).astype(np.float32)
    closed = shape_mask(mask, controls(smoothness=5))
    assert (closed >= mask).all()
    assert closed.sum() == pytest.approx(mask.sum(), rel=0.01)


def test_exclusive_gives_each_place_to_the_strongest() -> None:
    mask = np.random.default_rng(2).random((4, 60, 80), np.float32)
    mask[:2, :5] = 0.9  # equals
    shaped = shape_mask(mask, controls(overlap="exclusive"))
    assert ((shaped > 0.5).sum(axis=0) <= 1).all()
    winners = np.take_along_axis(shaped, mask.argmax(axis=0)[np.newaxis], axis=0)
    assert np.array_equal(winners[0], mask.max(axis=0))
    assert (shaped <= mask).all()
    assert shaped[:2, 0, 0] == pytest.approx([0.9, 0.1])
    assert shape_mask(mask[:1], controls(overlap="exclusive")).shape == (1, 60, 80)


def test_the_mask_of_the_caller_is_left_alone() -> None:
    mask = np.random.default_rng(3).random((2, 60, 80), np.float32)
    before = mask.copy()
    shape_mask(mask, controls(threshold=0.3, smoothness=5, overlap="exclusive"))
    assert np.array_equal(mask, before)
