"""The baselines on a picture that moves as a whole, where each one's answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.evaluation.baselines import Baseline, PlainChain, StaleMask, planes_of
from promptmatte.evaluation.measures import iou
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.stream import Anchor
from promptmatte.models.protocol import Decoded
from promptmatte.prompts import Prompt, PromptSet

RED = PromptSet(version=1, prompts=(Prompt(text="red"),))
SIZE_HW = (120, 240)
STEP_PX = 4


def frame(seq: int, *, size_hw: tuple[int, int] = SIZE_HW) -> Frame:
    """A texture that goes STEP_PX to the right with each frame."""
    noise = np.random.default_rng(5).standard_normal(SIZE_HW).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 2.0)
    grey = np.roll(128 + 100 * noise / np.abs(noise).max(), STEP_PX * seq, axis=1)
    pixels = cv2.cvtColor(grey.astype(np.uint8), cv2.COLOR_GRAY2RGB)
    return Frame(info=info(seq), pixels=cv2.resize(pixels, size_hw[::-1]))


def info(seq: int) -> FrameInfo:
    return FrameInfo(stream_id=1, seq=seq, pts_ns=0, captured_ns=seq)


def square(seq: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[30:90, 60 + STEP_PX * seq : 120 + STEP_PX * seq] = True
    return mask


def anchor(seq: int, *, at: int | None = None, confidence: float = 1.0) -> Anchor:
    logits = np.where(square(seq), 8.0, -8.0).astype(np.float32)[np.newaxis]
    return Anchor(
        info=info(seq),
        at=info(seq if at is None else at),
        decoded=Decoded(logits=logits, confidence=(confidence,)),
        prompts=RED,
    )


def overlap(baseline: Baseline, arrivals: dict[int, Anchor], frames: int) -> list[float]:
    """IoU of each frame from the first alpha on."""
    ious = []
    for seq in range(frames):
        alpha = baseline.step(frame(seq), arrivals.get(seq))
        assert (alpha is None) == (seq < min(arrivals))
        if alpha is not None:
            assert alpha.dtype == np.uint8
            ious.append(iou(alpha[0] >= 128, square(seq)))
    return ious


def test_the_stale_mask_stays_where_it_was() -> None:
    ious = overlap(StaleMask([0.3]), {4: anchor(0), 10: anchor(6)}, 12)
    shifts = np.array([4, 5, 6, 7, 8, 9, 4, 5]) * STEP_PX
    np.testing.assert_allclose(ious, (60 - shifts) / (60 + shifts))


def test_the_chain_brings_a_late_mask_up_to_now_and_on() -> None:
    assert min(overlap(PlainChain([0.3]), {4: anchor(0), 10: anchor(6)}, 12)) > 0.93


def test_the_chain_starts_where_the_mask_fits() -> None:
    """An anchor found in frame 0 that fits frame 2 as well: moved from there only."""
    moved = overlap(PlainChain([0.3]), {4: anchor(0, at=2)}, 5)
    shift = 2 * STEP_PX
    assert moved == [pytest.approx((60 - shift) / (60 + shift), abs=0.04)]


@pytest.mark.parametrize("kind", [StaleMask, PlainChain])
def test_what_is_not_found_is_empty(kind: type[StaleMask | PlainChain]) -> None:
    alpha = kind([0.3]).step(frame(0), anchor(0, confidence=0.2))
    assert alpha is not None
    assert not alpha.any()


@pytest.mark.parametrize("kind", [StaleMask, PlainChain])
def test_alpha_has_the_size_of_each_frame(kind: type[StaleMask | PlainChain]) -> None:
    baseline = kind([0.3])
    baseline.step(frame(0), anchor(0))
    for size_hw in ((90, 200), (240, 480)):
        alpha = baseline.step(frame(1, size_hw=size_hw), None)
        assert alpha is not None
        assert alpha.shape == (1, *size_hw)


def test_planes_of_a_matte() -> None:
    alpha = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(planes_of(alpha, 2), [alpha[..., 0], alpha[..., 1]])
    assert planes_of(np.ones((2, 3, 1), np.uint8), 2).tolist() == np.zeros((2, 2, 3)).tolist()
