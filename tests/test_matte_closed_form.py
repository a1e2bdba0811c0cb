"""Solved alpha, against composites whose alpha is known."""

import cv2
import numpy as np
from promptmatte.matte.closed_form import closed_form_alpha

SIZE_HW = (150, 200)


def hairy(seed: int = 5) -> np.ndarray:
    """Alpha float [H, W] of a disc with strands."""
    rng = np.random.default_rng(seed)
    alpha = np.zeros(SIZE_HW, np.uint8)
    cv2.circle(alpha, (100, 75), 35, 255, -1, cv2.LINE_AA)
    for angle in rng.uniform(0, 2 * np.pi, 60):
        end = (int(100 + 50 * np.cos(angle)), int(75 + 50 * np.sin(angle)))
        cv2.line(alpha, (100, 75), end, int(rng.integers(120, 255)), 1, cv2.LINE_AA)
    return alpha / 255


def painted(alpha: np.ndarray, contrast: float, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 40, (*SIZE_HW, 3)), (0, 0), 8)
    thing = np.array((120, 110, 100)) + contrast * np.array((90, 50, -60)) + grain
    ground = np.array((120, 110, 100)) - contrast * np.array((80, 60, -70)) - grain
    share = alpha[..., np.newaxis]
    return np.clip(np.rint(thing * share + ground * (1 - share)), 0, 255).astype(np.uint8)


def guessed(alpha: np.ndarray) -> np.ndarray:
    return (cv2.GaussianBlur(alpha, (0, 0), 4) * 255).astype(np.uint8)


def error(alpha: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(np.abs(alpha / 255.0 - truth)[where].mean())


def test_hair_is_found_in_a_blurred_guess() -> None:
    truth = hairy()
    guess = guessed(truth)
    unknown = (guess > 3) & (guess < 252)
    alpha = closed_form_alpha(painted(truth, 1.0), guess, unknown)
    assert error(alpha, truth, unknown) < 0.7 * error(guess, truth, unknown)


def test_what_is_known_stays() -> None:
    truth = hairy()
    guess = guessed(truth)
    before = guess.copy()
    unknown = (guess > 3) & (guess < 252)
    alpha = closed_form_alpha(painted(truth, 1.0), guess, unknown)
    assert np.array_equal(alpha[~unknown], guess[~unknown])
    assert np.array_equal(guess, before)
    assert np.array_equal(closed_form_alpha(painted(truth, 1.0), guess, unknown & False), guess)


def test_where_thing_and_ground_look_alike_it_stays_near_the_guess() -> None:
    truth = hairy()
    guess = guessed(truth)
    unknown = (guess > 3) & (guess < 252)
    noise = np.random.default_rng(0).normal(100, 3, (*SIZE_HW, 3)).astype(np.uint8)
    alpha = closed_form_alpha(noise, guess, unknown)
    assert error(alpha, guess / 255, unknown) < 0.12  # 0.45 without the prior


def test_pictures_of_any_size_and_edges_at_the_border() -> None:
    for size_hw in ((5, 7), (130, 131), (301, 160)):
        guess = np.full(size_hw, 128, np.uint8)
        guess[:, : size_hw[1] // 2] = 0
        pixels = cv2.merge([np.ascontiguousarray(guess)] * 3)
        alpha = closed_form_alpha(pixels, guess, np.ones(size_hw, bool))
        assert alpha.shape == size_hw
        assert alpha[:, 0].max() <= 10
