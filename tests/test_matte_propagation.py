import numpy as np
import pytest
from moving_scene import MovingScene, iou
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.luma import Luma
from promptmatte.matte.propagation import FrameForgottenError, Propagator

SIDE_PX = 320


def advance(propagator: Propagator, scene: MovingScene, indices: range, stream_id: int = 1) -> None:
    for index in indices:
        propagator.advance(Luma.of(scene.frame(index, stream_id=stream_id), SIDE_PX))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_carried_mask_beats_the_stale_one(seed: int) -> None:
    scene = MovingScene(speed=3.0, seed=seed)
    propagator = Propagator(history_frames=16)
    advance(propagator, scene, range(9))
    stale, truth = scene.red_alpha(0), scene.red_alpha(8)
    carried = propagator.carry(stale[np.newaxis], 0)
    assert carried.shape == (1, *scene.size_hw)
    assert carried.dtype == np.float32
    assert iou(stale, truth) < 0.5
    assert iou(carried[0], truth) > iou(stale, truth) + 0.2


def test_a_late_mask_lands_where_one_kept_from_the_start_lands() -> None:
    scene = MovingScene()
    late, kept = Propagator(history_frames=16), Propagator(history_frames=4)
    advance(late, scene, range(4))
    advance(kept, scene, range(4))
    kept.keep([3])
    advance(late, scene, range(4, 12))
    advance(kept, scene, range(4, 12))
    mask = scene.red_alpha(3)[np.newaxis]
    assert np.abs(late.carry(mask, 3) - kept.carry(mask, 3)).max() < 1e-3
    assert (
        iou(late.carry(mask, 3)[0], scene.red_alpha(11)) > iou(mask[0], scene.red_alpha(11)) + 0.2
    )


def test_each_channel_is_carried_by_itself() -> None:
    scene = MovingScene()
    propagator = Propagator(history_frames=16)
    advance(propagator, scene, range(5))
    red = scene.red_alpha(0)
    both = propagator.carry(np.stack([red, np.zeros_like(red), 1 - red]), 0)
    assert np.array_equal(both[0], propagator.carry(red[np.newaxis], 0)[0])
    assert not both[1].any()
    assert np.allclose(both[0] + both[2], 1.0, atol=1e-5)


def test_a_still_picture_moves_nothing_however_long() -> None:
    scene = MovingScene(speed=0.0)
    propagator = Propagator(history_frames=4)
    advance(propagator, scene, range(1))
    propagator.keep([0])
    advance(propagator, scene, range(1, 60))
    mask = scene.red_alpha(0)[np.newaxis]
    assert np.abs(propagator.carry(mask, 0) - mask).max() < 0.05


def test_frames_beyond_the_history_are_refused_unless_kept() -> None:
    scene = MovingScene()
    propagator = Propagator(history_frames=4)
    advance(propagator, scene, range(2))
    propagator.keep([1, 99])
    advance(propagator, scene, range(2, 10))
    assert [seq for seq in range(12) if propagator.holds(seq)] == [1, 6, 7, 8, 9]
    with pytest.raises(FrameForgottenError, match=r"last 4 frames up to 9; got one of frame 5"):
        propagator.carry(scene.red_alpha(5)[np.newaxis], 5)
    propagator.keep([])
    assert not propagator.holds(1)


@pytest.mark.parametrize(
    ("size_hw", "stream_id", "first"),
    [((88, 160), 1, 3), ((176, 320), 2, 3), ((176, 320), 1, 0)],
    ids=["size", "stream", "seq runs backwards"],
)
def test_what_does_not_follow_starts_anew(
    size_hw: tuple[int, int], stream_id: int, first: int
) -> None:
    propagator = Propagator(history_frames=16)
    advance(propagator, MovingScene(), range(3))
    propagator.keep([1])
    other = MovingScene(size_hw=size_hw)
    advance(propagator, other, range(first, first + 1), stream_id)
    assert [seq for seq in range(12) if propagator.holds(seq)] == [first]
    assert propagator.size_hw == size_hw


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 900), (900, 2), (17, 5)])
def test_odd_sizes_are_carried(size_hw: tuple[int, int]) -> None:
    propagator = Propagator(history_frames=4)
    rng = np.random.default_rng(0)
    for seq in range(3):
        info = FrameInfo(stream_id=1, seq=seq, pts_ns=0, captured_ns=0)
        pixels = rng.integers(0, 256, (*size_hw, 3), np.uint8)
        propagator.advance(Luma.of(Frame(info=info, pixels=pixels), SIDE_PX))
    mask = np.ones((1, *propagator.size_hw), np.float32)
    assert np.allclose(propagator.carry(mask, 0), 1.0)
