"""Masks carried from both sides, on a clip whose mattes are known."""

import cv2
import numpy as np
import pytest
from promptmatte.matte.luma import Luma
from promptmatte.matte.two_way import TwoWayMasks
from promptmatte.training.moving_clips import Hardness
from shipped_clip import as_frame, shipped_clip

FRAMES = 17
ROUGH = Hardness(occluder=1.0, strobe=0.0, leaving=0.0)


@pytest.fixture(scope="module")
def clip() -> tuple[list[Luma], list[np.ndarray]]:
    """The frames and their true masks [1, h, w]."""
    moving = shipped_clip(3, ROUGH)
    lumas, masks = [], []
    for seq in range(FRAMES):
        pixels, truth = moving.frame_at(10 + seq)
        lumas.append(Luma.of(as_frame(pixels, seq), 256))
        size_wh = lumas[-1].small.shape[::-1]
        small = cv2.resize(truth.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
        masks.append(small[np.newaxis])
    return lumas, masks


def overlaps(found: list[np.ndarray], truths: list[np.ndarray]) -> list[float]:
    pairs = [(mask >= 0.5, truth >= 0.5) for mask, truth in zip(found, truths, strict=True)]
    return [float((a & b).sum() / (a | b).sum()) for a, b in pairs]


def test_two_ways_are_better_than_one(clip: tuple[list[Luma], list[np.ndarray]]) -> None:
    lumas, truths = clip
    two_way = TwoWayMasks(history_frames=32)
    both = overlaps(two_way.between(lumas, truths[0], truths[-1]), truths)
    one = overlaps(two_way.between(lumas, truths[0], None), truths)
    stale = overlaps([truths[0]] * FRAMES, truths)
    assert np.mean(both) > 0.9
    assert 1 - np.mean(both) < 0.8 * (1 - np.mean(one))
    assert np.mean(both) > np.mean(stale) + 0.2
    assert both[-1] > 0.95


def test_it_holds_both_ways_round(clip: tuple[list[Luma], list[np.ndarray]]) -> None:
    lumas, truths = clip
    two_way = TwoWayMasks(history_frames=32)
    onwards = two_way.between(lumas, truths[0], truths[-1])
    back = two_way.between(lumas[::-1], truths[-1], truths[0])[::-1]
    for mask, other in zip(onwards, back, strict=True):
        assert np.abs(mask - other).max() < 1e-3


def test_what_neither_side_knows_is_not_there(clip: tuple[list[Luma], list[np.ndarray]]) -> None:
    lumas, truths = clip
    nothing = np.zeros_like(truths[0])
    two_way = TwoWayMasks(history_frames=32)
    assert not any(mask.any() for mask in two_way.between(lumas, nothing, nothing))
    coming = two_way.between(lumas, nothing, truths[-1])
    areas = [float(mask.mean()) for mask in coming]
    assert areas[0] < 0.01 < 0.5 * float(truths[-1].mean()) < areas[-1]


def test_one_frame_alone(clip: tuple[list[Luma], list[np.ndarray]]) -> None:
    lumas, truths = clip
    (mask,) = TwoWayMasks(history_frames=32).between(lumas[:1], truths[0], truths[0])
    assert overlaps([mask], truths[:1])[0] > 0.95
