import cv2
import numpy as np
import pytest
from moving_scene import MovingScene, iou
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.luma import Luma

SCENE = MovingScene(size_hw=(540, 960))


def coarse(alpha: np.ndarray, luma: Luma, height: int = 36) -> np.ndarray:
    """The alpha as a model of low resolution would give it, at the size of the small luma."""
    width = round(height * alpha.shape[1] / alpha.shape[0])
    tiny = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.resize(tiny, luma.small.shape[::-1])[np.newaxis]


def test_it_is_nearer_to_the_truth_than_enlarging() -> None:
    luma = Luma.of(SCENE.frame(5), 320)
    truth = SCENE.red_alpha(5)
    mask = coarse(truth, luma)
    enlarged = cv2.resize(mask[0], truth.shape[::-1])
    alpha = EdgeRefiner().refine(mask, luma)
    assert alpha.shape == (540, 960, 1)
    assert alpha.dtype == np.uint8
    refined_error = np.abs(alpha[..., 0] / 255.0 - truth).mean()
    assert refined_error < 0.7 * np.abs(enlarged - truth).mean()
    assert iou(alpha[..., 0], truth) > iou(enlarged, truth)


def test_insides_are_solid_and_outsides_empty() -> None:
    luma = Luma.of(SCENE.frame(5), 320)
    truth = SCENE.red_alpha(5)
    alpha = EdgeRefiner().refine(coarse(truth, luma), luma)[..., 0]
    near = np.ones((61, 61), np.uint8)
    assert (alpha[cv2.erode(truth, near) > 0.99] == 255).all()
    assert (alpha[cv2.dilate(truth, near) < 0.01] == 0).all()


def test_an_edge_of_the_picture_pulls_the_edge_of_the_mask() -> None:
    pixels = np.zeros((180, 320, 3), np.uint8)
    pixels[:, 160:] = 200
    luma = Luma.of(SCENE.frame(0).__class__(info=SCENE.frame(0).info, pixels=pixels), 160)
    mask = np.zeros((1, 90, 160), np.float32)
    mask[:, :, 82:] = 1.0
    alpha = EdgeRefiner().refine(mask, luma)[90, :, 0] / 255.0
    assert abs((1 - alpha).sum() - 160) < abs(164 - 160)
    assert alpha[161] - alpha[158] > 0.4


@pytest.mark.parametrize(("prompts", "channels"), [(1, 1), (2, 4), (3, 4), (4, 4)])
def test_channels_are_packed_in_order(prompts: int, channels: int) -> None:
    luma = Luma.of(SCENE.frame(5), 320)
    one = coarse(SCENE.red_alpha(5), luma)[0]
    masks = np.stack([one * (channel % 2) for channel in range(prompts)])
    alpha = EdgeRefiner().refine(masks, luma)
    assert alpha.shape == (540, 960, channels)
    used = [bool(alpha[..., channel].any()) for channel in range(channels)]
    assert used == [channel < prompts and channel % 2 == 1 for channel in range(channels)]


def test_every_alpha_is_its_own_array() -> None:
    luma = Luma.of(SCENE.frame(5), 320)
    refiner = EdgeRefiner()
    mask = coarse(SCENE.red_alpha(5), luma)
    first = refiner.refine(mask, luma)
    before = first.copy()
    refiner.refine(1 - mask, luma)
    assert np.array_equal(first, before)


def test_a_ramp_has_no_bands() -> None:
    flat = np.full((540, 960, 3), 90, np.uint8)
    luma = Luma.of(SCENE.frame(0).__class__(info=SCENE.frame(0).info, pixels=flat), 320)
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, 320, dtype=np.float32), (1, 180, 320)).copy()
    row = EdgeRefiner().refine(ramp, luma)[270, 20:-20, 0].astype(int)
    assert set(np.diff(row)) <= {0, 1}
