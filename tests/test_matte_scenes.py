"""What happens on a stage, through a whole MatteStream with keyframes that come late."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.config import PipelineConfig
from promptmatte.frame import Matte
from promptmatte.matte.stream import MatteStream
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.moving_clips import Hardness, MovingClip
from shipped_clip import CALM, as_frame, decoded, overlap, shipped_clip

ONE = PromptSet(version=1, prompts=(Prompt(text="thing"),))
EVERY, LATE = 6, 4
Picture = npt.NDArray[np.uint8]
Truth = npt.NDArray[np.float32]


def played(
    clip: MovingClip,
    count: int,
    *,
    change: Callable[[int, Picture, Truth], tuple[Picture, Truth]] = lambda _, p, t: (p, t),
    stream: MatteStream | None = None,
    anchors: int = 1000,
) -> list[tuple[Matte | None, Truth]]:
    """The matte and the truth of each frame; the true mask of every sixth comes four late,
    up to the frame `anchors`."""
    stream = stream or MatteStream(PipelineConfig())
    shown: list[tuple[Matte | None, Truth]] = []
    frames = []
    for index in range(count):
        pixels, truth = change(index, *clip.frame_at(index))
        frames.append((as_frame(pixels, index), truth))
        encoded = index - LATE
        if 0 <= encoded < anchors and encoded % EVERY == 0:
            frame, mask = frames[encoded]
            found = 0.9 if mask.max() > 0.5 else 0.02
            stream.anchor(frame.info, decoded(mask, found), ONE)
        shown.append((stream.step(frames[index][0]), truth))
    return shown


def overlaps(shown: list[tuple[Matte | None, Truth]], first: int) -> list[float]:
    """IoU of each matte from a frame on; 0 where there is none."""
    return [
        0.0 if matte is None else overlap(np.asarray(matte.alpha[..., 0], np.uint8), truth)
        for matte, truth in shown[first:]
    ]


def test_a_shaken_camera() -> None:
    shaken = Hardness(**{**vars(CALM), "shake": 1.0})
    assert np.mean(overlaps(played(shipped_clip(4, shaken), 24), LATE)) > 0.85


def test_strobe_is_no_cut_and_loses_nothing() -> None:
    strobe = Hardness(**{**vars(CALM), "strobe": 1.0})
    shown = played(shipped_clip(1, strobe), 24)
    assert all(matte is not None for matte, _ in shown[LATE:])
    assert np.mean(overlaps(shown, LATE)) > 0.7


@pytest.mark.parametrize("level", [0, 255], ids=["black", "white"])
def test_the_matte_outlasts_frames_without_a_picture(level: int) -> None:
    def blind(index: int, pixels: Picture, truth: Truth) -> tuple[Picture, Truth]:
        return (np.full_like(pixels, level) if index in (13, 14, 19) else pixels), truth

    shown = played(shipped_clip(2), 24, change=blind)
    assert all(matte is not None for matte, _ in shown[LATE:])
    assert [matte.info.seq for matte, _ in shown[LATE:] if matte] == list(range(LATE, 24))
    assert min(overlaps(shown, LATE)) > 0.6


def test_a_cut_shows_nothing_of_the_shot_before() -> None:
    def other(index: int, pixels: Picture, truth: Truth) -> tuple[Picture, Truth]:
        if index < 12:
            return pixels, truth
        blocks = np.random.default_rng(3).integers(0, 256, (9, 16, 3), np.uint8)
        size_wh = pixels.shape[1::-1]
        ground = cv2.resize(blocks, size_wh, interpolation=cv2.INTER_NEAREST)
        return np.asarray(ground, np.uint8), np.zeros_like(truth)

    shown = played(shipped_clip(0), 24, change=other)
    assert all(matte is None for matte, _ in shown[12:16])
    assert all(matte is not None and not matte.alpha.any() for matte, _ in shown[16:])


def gone(index: int, pixels: Picture, truth: Truth) -> tuple[Picture, Truth]:
    """From frame 12 to 35 the thing is painted over with what is beside it."""
    if not 12 <= index < 36:
        return pixels, truth
    beside = np.roll(cv2.GaussianBlur(pixels, (0, 0), 12), 200, axis=1)
    thing = truth[..., np.newaxis] > 0.02
    return np.where(thing, beside, pixels).astype(np.uint8), np.zeros_like(truth)


def test_a_lost_thing_is_noticed_and_asked_for() -> None:
    stream = MatteStream(PipelineConfig())
    played(shipped_clip(0), 12, stream=stream)
    assert not stream.lost
    stream = MatteStream(PipelineConfig())
    shown = played(shipped_clip(0), 20, change=gone, stream=stream, anchors=12)
    assert stream.lost
    matte, _ = shown[-1]
    assert matte is not None
    assert (matte.alpha >= 128).mean() < 0.01


def test_a_thing_that_leaves_fades_and_comes_back() -> None:
    shown = played(shipped_clip(6), 48, change=gone)
    covers = [0.0 if m is None else float((m.alpha >= 128).mean()) for m, _ in shown]
    assert covers[11] > 0.05
    assert max(covers[28:36]) < 0.01
    assert np.mean(overlaps(shown, 42)) > 0.8
