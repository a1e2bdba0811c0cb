"""Alpha at full size, against composites whose alpha is known."""

import cv2
import numpy as np
import pytest
from moving_scene import MovingScene, iou
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte import edges
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.luma import Luma

SCENE = MovingScene(size_hw=(540, 960))
INFO = FrameInfo(stream_id=1, seq=0, pts_ns=0, captured_ns=0)


def luma_of(pixels: np.ndarray, side_px: int = 256) -> Luma:
    return Luma.of(Frame(info=INFO, pixels=pixels), side_px)


def coarse(alpha: np.ndarray, luma: Luma, height: int = 36) -> np.ndarray:
    """The alpha as a model of low resolution would give it, at the size of the small luma."""
    width = round(height * alpha.shape[1] / alpha.shape[0])
    tiny = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.resize(tiny, luma.small.shape[::-1])[np.newaxis]


def hairy(size_hw: tuple[int, int] = (540, 960)) -> np.ndarray:
    """Alpha float32 [H, W] of a disc with strands of one pixel."""
    rng = np.random.default_rng(5)
    height, width = size_hw
    alpha = np.zeros(size_hw, np.uint8)
    cv2.circle(alpha, (width // 2, height // 2), height // 4, 255, -1, cv2.LINE_AA)
    for angle in rng.uniform(0, 2 * np.pi, 250):
        reach = height * rng.uniform(0.26, 0.29)
        end = (int(width / 2 + reach * np.cos(angle)), int(height / 2 + reach * np.sin(angle)))
        cv2.line(alpha, (width // 2, height // 2), end, 255, 1, cv2.LINE_AA)
    return alpha.astype(np.float32) / 255


def painted(
    alpha: np.ndarray,
    thing: tuple[int, int, int] = (200, 150, 60),
    ground: tuple[int, int, int] = (40, 90, 140),
    grain: float = 20.0,
) -> np.ndarray:
    rng = np.random.default_rng(5)
    texture = cv2.GaussianBlur(rng.normal(0, 10 * grain, (*alpha.shape, 3)), (0, 0), 10)
    share = alpha[..., np.newaxis]
    mixed = (np.array(thing) + texture) * share + (np.array(ground) - texture) * (1 - share)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def refined(truth: np.ndarray, pixels: np.ndarray, detail: float = 0.5) -> np.ndarray:
    luma = luma_of(pixels)
    mask = cv2.resize(truth, luma.small.shape[::-1], interpolation=cv2.INTER_AREA)
    mask = cv2.GaussianBlur(mask, (0, 0), 1)
    return EdgeRefiner().refine(mask[np.newaxis], luma, (detail,))[..., 0]


def error(alpha: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(alpha / 255.0 - truth).mean())


def enlarged(truth: np.ndarray) -> np.ndarray:
    """What enlarging alone makes of the same mask."""
    small = cv2.resize(truth, luma_of(painted(truth)).small.shape[::-1], interpolation=3)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), 1), truth.shape[::-1]) * 255


def test_it_is_nearer_to_the_truth_than_enlarging() -> None:
    luma = Luma.of(SCENE.frame(5), 256)
    truth = SCENE.red_alpha(5)
    mask = coarse(truth, luma)
    plain = cv2.resize(mask[0], truth.shape[::-1])
    alpha = EdgeRefiner().refine(mask, luma)
    assert alpha.shape == (540, 960, 1)
    assert alpha.dtype == np.uint8
    assert error(alpha[..., 0], truth) < 0.6 * np.abs(plain - truth).mean()
    assert iou(alpha[..., 0], truth) > iou(plain, truth)


def test_strands_of_a_pixel_are_found() -> None:
    truth = hairy()
    alpha = refined(truth, painted(truth))
    assert error(alpha, truth) < 0.6 * error(enlarged(truth), truth)
    strand = (truth == 1) & (cv2.erode(truth, np.ones((3, 3))) == 0)
    beside = (truth == 0) & (cv2.dilate(truth, np.ones((5, 5))) == 1)
    assert alpha[strand].mean() > alpha[beside].mean() + 90


def test_motion_blur_gets_soft_alpha() -> None:
    truth = cv2.blur(hairy(), (41, 1))
    alpha = refined(truth, painted(truth))
    soft = (truth > 0.2) & (truth < 0.8)
    assert error(alpha[soft], truth[soft]) < 0.08


def test_where_thing_and_ground_look_alike_it_follows_the_mask() -> None:
    truth = cv2.GaussianBlur(hairy(), (0, 0), 2)
    pixels = painted(truth, thing=(60, 55, 50), ground=(60, 55, 50), grain=1.0)
    alpha = refined(truth, pixels)
    assert error(alpha, truth) < 1.2 * error(enlarged(truth), truth)


def test_detail_goes_from_the_masks_outline_to_every_hair() -> None:
    truth = hairy()
    pixels = painted(truth)
    none, half, every = (refined(truth, pixels, detail) for detail in (0.0, 0.5, 1.0))
    outline = enlarged(truth)
    away = [float(np.abs(alpha - outline).mean()) for alpha in (none, half, every)]
    assert away[0] < 0.5 * away[1] < away[1] < away[2]
    assert error(every, truth) < error(none, truth)


def test_insides_are_solid_and_outsides_empty() -> None:
    luma = Luma.of(SCENE.frame(5), 256)
    truth = SCENE.red_alpha(5)
    alpha = EdgeRefiner().refine(coarse(truth, luma), luma)[..., 0]
    near = np.ones((61, 61), np.uint8)
    assert (alpha[cv2.erode(truth, near) > 0.99] == 255).all()
    assert (alpha[cv2.dilate(truth, near) < 0.01] == 0).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_empty_and_full_masks(level: float) -> None:
    luma = Luma.of(SCENE.frame(5), 256)
    mask = np.full((2, *luma.small.shape), level, np.float32)
    alpha = EdgeRefiner().refine(mask, luma)
    assert (alpha[..., :2] == level * 255).all()
    assert not alpha[..., 2:].any()


def test_an_edge_of_the_picture_pulls_the_edge_of_the_mask() -> None:
    pixels = np.zeros((192, 320, 3), np.uint8)
    pixels[:, 160:] = 200
    luma = luma_of(pixels, 160)
    mask = np.zeros((1, 96, 160), np.float32)
    mask[:, :, 82:] = 1.0
    alpha = EdgeRefiner().refine(mask, luma)[90, :, 0] / 255.0
    assert abs((1 - alpha).sum() - 160) < abs(164 - 160)
    assert alpha[161] - alpha[158] > 0.3


@pytest.mark.parametrize("size_hw", [(540, 960), (719, 1279), (95, 71), (20, 300)])
def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch, size_hw: tuple[int, int]) -> None:
    truth = cv2.resize(hairy(), size_hw[::-1], interpolation=cv2.INTER_AREA)
    pixels = painted(truth)
    tiled = refined(truth, pixels)
    monkeypatch.setattr(edges, "TILE_PX", 10_000)
    whole = refined(truth, pixels)
    assert np.abs(tiled.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(("prompts", "channels"), [(1, 1), (2, 4), (3, 4), (4, 4)])
def test_channels_are_packed_in_order(prompts: int, channels: int) -> None:
    luma = Luma.of(SCENE.frame(5), 256)
    one = coarse(SCENE.red_alpha(5), luma)[0]
    masks = np.stack([one * (channel % 2) for channel in range(prompts)])
    alpha = EdgeRefiner().refine(masks, luma)
    assert alpha.shape == (540, 960, channels)
    used = [bool(alpha[..., channel].any()) for channel in range(channels)]
    assert used == [channel < prompts and channel % 2 == 1 for channel in range(channels)]


def test_every_channel_is_as_it_is_alone() -> None:
    luma = Luma.of(SCENE.frame(5), 256)
    mask = coarse(SCENE.red_alpha(5), luma)
    both = np.concatenate([mask, mask[:, ::-1, ::-1]])
    alone = [EdgeRefiner().refine(np.ascontiguousarray(m[np.newaxis]), luma) for m in both]
    together = EdgeRefiner().refine(both, luma)
    for channel, alpha in enumerate(alone):
        assert np.abs(together[..., channel].astype(int) - alpha[..., 0]).max() <= 2


def test_every_alpha_is_its_own_array() -> None:
    luma = Luma.of(SCENE.frame(5), 256)
    refiner = EdgeRefiner()
    mask = coarse(SCENE.red_alpha(5), luma)
    first = refiner.refine(mask, luma)
    before = first.copy()
    refiner.refine(1 - mask, luma)
    assert np.array_equal(first, before)


def test_a_ramp_has_no_bands() -> None:
    luma = luma_of(np.full((540, 960, 3), 90, np.uint8), 320)
    ramp = np.linspace(0.2, 0.8, luma.small.shape[1], dtype=np.float32)
    mask = np.broadcast_to(ramp, (1, *luma.small.shape)).copy()
    row = EdgeRefiner().refine(mask, luma)[270, 20:-20, 0].astype(int)
    assert set(np.diff(row)) <= {0, 1}


def test_a_picture_of_two_lines_has_a_matte() -> None:
    """Fewer lines than its mask, so that some tiles are empty."""
    pixels = np.zeros((2, 900, 3), np.uint8)
    luma = Luma.of(Frame(info=INFO, pixels=pixels), 256)
    mask = np.full((1, *luma.small_rgb.shape[:2]), 0.5, np.float32)
    assert EdgeRefiner().refine(mask, luma).shape == (2, 900, 1)
