"""The masked texture: what is kept, what is zeroed, sizes, prompts, and no new arrays."""

from __future__ import annotations

import numpy as np
import pytest
from promptmatte.errors import ConfigError
from promptmatte.points.masked import Masker, fit_into


def texture(height: int = 6, width: int = 8) -> np.ndarray:
    """Points in all directions, z not 0, and rubbish beside them."""
    xyz = np.random.default_rng(0).normal(size=(height, width, 4)).astype(np.float32)
    xyz[..., 2] += np.where(xyz[..., 2] < 0, -1, 1)
    xyz[..., 3] = np.nan
    return xyz


def full(height: int = 6, width: int = 8, level: int = 255) -> np.ndarray:
    return np.full((height, width, 1), level, np.uint8)


def test_points_under_the_matte_stay_as_they_are_with_their_alpha() -> None:
    xyz, alpha = texture(), np.random.default_rng(1).integers(0, 256, (6, 8, 1), np.uint8)
    xyz.flags.writeable = alpha.flags.writeable = False
    masked = Masker(min_alpha=0.5).masked(xyz, alpha)
    keep = alpha[..., 0] >= 128
    assert 0 < keep.sum() < keep.size
    np.testing.assert_array_equal(masked[keep][:, :3], xyz[keep][:, :3])
    np.testing.assert_allclose(masked[keep][:, 3], alpha[keep][:, 0] / 255, rtol=1e-6)
    assert (masked[~keep] == 0).all()
    assert masked.dtype == np.float32


@pytest.mark.parametrize(("min_alpha", "kept"), [(0.0, 256), (1.0, 1), (0.5, 128), (2 / 255, 254)])
def test_the_least_alpha_is_itself_kept(min_alpha: float, kept: int) -> None:
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    masked = Masker(min_alpha=min_alpha).masked(texture(16, 16), alpha)
    assert np.count_nonzero(masked[..., 2]) == kept


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_point_that_is_not_finite_becomes_nothing(channel: int, value: float) -> None:
    xyz = texture()
    xyz[2, 3, channel] = value
    masked = Masker(min_alpha=0.5).masked(xyz, full())
    assert np.isfinite(masked).all()
    gone = (masked == 0).all(axis=2)
    assert gone[2, 3]
    assert gone.sum() == 1


def test_opposite_infinities_and_no_depth_become_nothing() -> None:
    xyz = texture()
    xyz[0, 0, :3] = np.inf, -np.inf, 1
    xyz[0, 1, :3] = 0
    xyz[0, 2, :3] = 1, 1, 0
    gone = (Masker(min_alpha=0.0).masked(xyz, full()) == 0).all(axis=2)
    assert gone[0, :3].all()
    assert gone.sum() == 3


@pytest.mark.parametrize("size_hw", [(3, 4), (12, 16), (7, 5), (1, 1)])
def test_a_matte_of_another_size_is_resized(size_hw: tuple[int, int]) -> None:
    alpha = np.zeros((*size_hw, 1), np.uint8)
    alpha[:, size_hw[1] // 2 :] = 255
    masked = Masker(min_alpha=0.9).masked(texture(6, 8), alpha)
    assert masked.shape == (6, 8, 4)
    assert (masked[:, 7, 3] == 1).all()
    if size_hw[1] > 1:
        assert (masked[:, 0] == 0).all()


def test_with_several_prompts_any_counts_or_the_one_asked_for() -> None:
    alpha = np.zeros((6, 8, 4), np.uint8)
    for channel in range(4):
        alpha[channel, :, channel] = 255
    any_of = Masker(min_alpha=0.5).masked(texture(), alpha)
    np.testing.assert_array_equal(any_of[..., 3].sum(axis=1), [8, 8, 8, 8, 0, 0])
    third = Masker(min_alpha=0.5, prompt=3).masked(texture(), alpha)
    np.testing.assert_array_equal(third[..., 3].sum(axis=1), [0, 0, 8, 0, 0, 0])
    with pytest.raises(ConfigError, match="of 3 prompts"):
        Masker(min_alpha=0.5, prompt=3).masked(texture(), full())


def test_the_same_array_is_used_until_the_size_changes() -> None:
    masker = Masker(min_alpha=0.5)
    first = masker.masked(texture(), full())
    again = masker.masked(texture(), full(level=0))
    assert again is first
    assert (again == 0).all()
    other = masker.masked(texture(5, 5), full(5, 5))
    assert other.shape == (5, 5, 4)
    assert np.count_nonzero(other[..., 2]) == 25


@pytest.mark.parametrize("min_alpha", [-0.1, 1.1, float("nan")])
def test_an_alpha_that_cannot_be_asked_for(min_alpha: float) -> None:
    with pytest.raises(ConfigError, match="0 to 1"):
        Masker(min_alpha=min_alpha)


@pytest.mark.parametrize("prompt", [0, 5])
def test_a_prompt_that_cannot_be_asked_for(prompt: int) -> None:
    with pytest.raises(ConfigError, match="1 to 4"):
        Masker(min_alpha=0.5, prompt=prompt)


def test_colours_fit_too() -> None:
    out = np.empty((4, 6, 3), np.uint8)
    picture = np.zeros((8, 12, 3), np.uint8)
    picture[..., 1] = 90
    fit_into(picture[:, ::-1], out)
    assert (out == [0, 90, 0]).all()
