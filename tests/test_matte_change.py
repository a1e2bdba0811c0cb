import numpy as np
from moving_scene import MovingScene
from promptmatte.frame import Frame
from promptmatte.matte.change import is_blind, is_cut, is_static
from promptmatte.matte.luma import Luma, thumbnail_of

SCENE = MovingScene(size_hw=(270, 480))
START = SCENE.frame(0)


def shown(pixels: np.ndarray) -> np.ndarray:
    return thumbnail_of(Frame(info=START.info, pixels=np.clip(pixels, 0, 255).astype(np.uint8)))


def test_camera_noise_is_static() -> None:
    rng = np.random.default_rng(0)
    noisy = [START.pixels + rng.normal(0, 6, START.pixels.shape) for _ in range(2)]
    assert is_static(shown(noisy[0]), shown(noisy[1]))


def test_a_small_moving_thing_is_not_static() -> None:
    moved = START.pixels.copy()
    moved[100:115, 300:315] = 255
    assert not is_static(shown(moved), shown(START.pixels))


def test_another_scene_is_a_cut() -> None:
    rng = np.random.default_rng(1)
    blocks = rng.integers(0, 256, (9, 16, 3)).repeat(30, 0).repeat(30, 1)
    assert is_cut(shown(blocks), shown(START.pixels))


def test_fast_motion_flash_and_fade_are_no_cuts() -> None:
    start = shown(START.pixels)
    assert not is_cut(shown(np.roll(START.pixels, 24, axis=1)), start)
    assert not is_cut(shown(START.pixels + 90.0), start)
    assert not is_cut(shown(START.pixels * 0.5), start)


def test_a_swift_pan_over_a_bold_pattern_is_no_cut() -> None:
    blocks = np.random.default_rng(2).integers(0, 256, (12, 24, 3)).repeat(24, 0).repeat(24, 1)
    assert not is_cut(shown(blocks[:270, 60:540]), shown(blocks[:270, :480]))


def test_strobe_is_no_cut() -> None:
    dark = shown(START.pixels * 0.12)
    for gain in (1.0, 1.6):
        assert not is_cut(shown(START.pixels * gain), dark)
        assert not is_cut(dark, shown(START.pixels * gain))


def test_only_a_picture_without_content_is_blind() -> None:
    rng = np.random.default_rng(3)
    for level in (0.0, 128.0, 255.0):
        assert is_blind(shown(rng.normal(level, 4, START.pixels.shape)))
    assert not is_blind(shown(START.pixels * 0.4))


def test_thumbnails_of_both_kinds_agree() -> None:
    ours = Luma.of(START, 320).thumbnail.astype(int)
    assert np.abs(ours - thumbnail_of(START)).max() <= 3
