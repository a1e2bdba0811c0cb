"""The foreground's colours, against composites whose foreground is known."""

import cv2
import numpy as np
import pytest
from promptmatte.matte.foreground import foreground_colours, premultiplied_foreground

GREEN = (30, 210, 40)
SIZE_HW = (270, 480)


def soft_disc(radius: int = 70, blur: float = 5.0) -> np.ndarray:
    alpha = np.zeros(SIZE_HW, np.uint8)
    cv2.circle(alpha, (200, 130), radius, 255, -1, cv2.LINE_AA)
    for angle in np.linspace(0, 2 * np.pi, 40):  # strands
        end = (int(200 + 100 * np.cos(angle)), int(130 + 100 * np.sin(angle)))
        cv2.line(alpha, (200, 130), end, 200, 1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), blur) if blur else alpha)


def skin(seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 60, (*SIZE_HW, 3)), (0, 0), 6)
    return np.clip((190, 90, 70) + grain * 3, 0, 255)


def composite(colours: np.ndarray, alpha: np.ndarray, ground: np.ndarray | tuple) -> np.ndarray:
    share = alpha[..., np.newaxis] / 255
    return np.rint(colours * share + np.asarray(ground) * (1 - share)).astype(np.uint8)


@pytest.mark.parametrize("blur", [0.0, 1.5, 5.0])
@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255)])
def test_no_halo_of_a_green_screen_on_another_ground(
    blur: float, ground: tuple[int, int, int]
) -> None:
    alpha = soft_disc(blur=blur)
    frame = composite(skin(), alpha, GREEN)
    truth = composite(skin(), alpha, ground).astype(int)
    edge = (alpha > 0) & (alpha < 255)
    rest = (1 - alpha[..., np.newaxis] / 255) * np.asarray(ground)
    ours = premultiplied_foreground(frame, alpha)[..., :3] + rest
    plain = frame * (alpha[..., np.newaxis] / 255) + rest
    straight = composite(foreground_colours(frame, alpha), alpha, ground).astype(int)
    error, plain_error = (np.abs(p - truth)[edge].mean() for p in (ours, plain))
    assert error < 0.35 * plain_error
    assert np.abs(straight - truth)[edge].mean() < 0.35 * plain_error


def test_outside_the_edge_it_is_exact_and_no_colour_exceeds_its_alpha() -> None:
    alpha = soft_disc()
    frame = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    result = premultiplied_foreground(frame, alpha)
    assert result.dtype == np.uint8
    assert np.array_equal(result[..., 3], alpha)
    assert np.array_equal(result[..., :3][alpha == 255], frame[alpha == 255])
    assert not result[alpha == 0].any()
    assert (result[..., :3] <= result[..., 3:]).all()
    assert np.array_equal(foreground_colours(frame, alpha)[alpha == 255], frame[alpha == 255])


def test_no_colour_exceeds_an_alpha_that_is_too_low() -> None:
    alpha = soft_disc()
    frame = cv2.merge([np.where(alpha > 0, 255, 0).astype(np.uint8)] * 3)
    result = premultiplied_foreground(frame, alpha)
    assert (result[..., :3] <= result[..., 3:]).all()
    assert (result[..., 0] >= 0.9 * alpha - 1).all()


def test_a_hard_alpha_is_cut_out_exactly() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    alpha = np.where(soft_disc(blur=0) > 127, 255, 0).astype(np.uint8)
    result = premultiplied_foreground(frame, alpha)
    assert np.array_equal(result[..., :3], np.where(alpha[..., np.newaxis] > 0, frame, 0))


@pytest.mark.parametrize("size_hw", [(36, 64), (71, 95), (540, 960), (719, 1279)])
def test_any_size(size_hw: tuple[int, int]) -> None:
    alpha = np.asarray(cv2.resize(soft_disc(), size_hw[::-1]), np.uint8)
    colours = np.asarray(cv2.resize(skin(), size_hw[::-1]))
    frame = composite(colours, alpha, GREEN)
    result = premultiplied_foreground(frame, alpha)
    truth = composite(colours, alpha, (0, 0, 0)).astype(int)
    edge = (alpha > 0) & (alpha < 255)
    plain = frame * (alpha[..., np.newaxis] / 255)
    assert np.abs(result[..., :3] - truth)[edge].mean() < 0.5 * np.abs(plain - truth)[edge].mean()


def test_empty_and_full() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    empty, full = (np.full(SIZE_HW, level, np.uint8) for level in (0, 255))
    assert not premultiplied_foreground(frame, empty).any()
    assert np.array_equal(premultiplied_foreground(frame, full)[..., :3], frame)
    assert np.array_equal(foreground_colours(frame, empty), frame)
    assert np.array_equal(foreground_colours(frame, full), frame)
