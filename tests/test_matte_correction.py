from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from promptmatte.config import PipelineConfig
from promptmatte.errors import ModelError
from promptmatte.matte.correction import MaskCorrector
from promptmatte.matte.correction_engine import load_correction
from promptmatte.matte.correction_weights import load_correction_network
from promptmatte.matte.luma import Luma
from promptmatte.matte.propagation import Propagator, carried
from promptmatte.training.moving_clips import MovingClip
from shipped_clip import FRAME_NS, as_frame, overlap, shipped_clip

Mask = npt.NDArray[np.float32]
SIDE = PipelineConfig().flow_side_px


def seen(clip: MovingClip, count: int) -> list[tuple[Luma, Mask]]:
    """Each frame at the sizes of the matte loop, with its true mask at the small one."""
    frames = []
    for index in range(count):
        pixels, truth = clip.frame_at(index)
        luma = Luma.of(as_frame(pixels, index), SIDE)
        size_wh = luma.small.shape[::-1]
        frames.append((luma, cv2.resize(truth, size_wh, interpolation=cv2.INTER_AREA)))
    return frames


def new_corrector(device: str = "cpu") -> MaskCorrector:
    return MaskCorrector(load_correction(device=device), history_frames=8)


def followed(corrector: MaskCorrector, frames: list[tuple[Luma, Mask]]) -> list[Mask]:
    """The masks of every frame from the anchor 0 on."""
    found = []
    for index, (luma, truth) in enumerate(frames):
        corrector.advance(luma)
        if index == 0:
            corrector.keep([0])
            corrector.anchor(0, truth[np.newaxis])
        masks, _ = corrector.masks([True])
        corrector.settle(masks)
        found.append(masks)
    return found


@pytest.mark.parametrize("thing", [0, 1], ids=["astronaut", "cat"])
def test_corrected_masks_beat_carried_ones(thing: int) -> None:
    ours, plain = [], []
    for seed in range(4):
        frames = seen(shipped_clip(seed, thing=thing), 13)
        masks = followed(new_corrector(), frames)
        chain = Propagator(history_frames=2)
        for index, (luma, truth) in enumerate(frames):
            chain.advance(luma)
            if index == 0:
                chain.keep([0])
            carried = chain.carry(frames[0][1][np.newaxis], 0)
            if index >= 6:
                ours.append(overlap(np.uint8(255 * masks[index][0]), truth))
                plain.append(overlap(np.uint8(255 * carried[0]), truth))
    assert np.mean(ours) > np.mean(plain) + 0.03
    assert np.mean(ours) > 0.85


def test_prompts_together_are_what_each_is_alone() -> None:
    frames = seen(shipped_clip(3), 4)
    truth = frames[0][1]
    parts = np.stack([truth, 1 - truth, np.zeros_like(truth)])
    together = new_corrector()
    for luma, _ in frames:
        together.advance(luma)
    together.anchor(0, parts)
    masks, quality = together.masks([True] * 3)
    assert masks.shape == parts.shape
    assert len(quality) == 3
    for index, part in enumerate(parts):
        alone = new_corrector()
        for luma, _ in frames:
            alone.advance(luma)
        alone.anchor(0, part[np.newaxis])
        mask, value = alone.masks([True])
        assert np.abs(mask[0] - masks[index]).max() < 0.01
        assert value[0] == pytest.approx(quality[index], abs=0.01)


def test_a_new_anchor_is_blended_with_the_track_before() -> None:
    frames = seen(shipped_clip(1), 8)
    tracked = new_corrector()
    followed(tracked, frames[:7])
    fresh = new_corrector()
    for luma, _ in frames:
        fresh.advance(luma)
    tracked.advance(frames[7][0])
    wrong = np.roll(frames[3][1], 12, axis=1)[np.newaxis]
    alone = {}
    for name, corrector in (("tracked", tracked), ("fresh", fresh)):
        corrector.anchor(3, wrong)
        alone[name], _ = corrector.masks([True])
    truth = frames[7][1]
    error = {name: float(np.abs(mask[0] - truth).mean()) for name, mask in alone.items()}
    assert error["tracked"] < error["fresh"]


def test_between_corrections_the_last_result_is_carried_on() -> None:
    frames = seen(shipped_clip(1), 8)
    resting = MaskCorrector(load_correction(), history_frames=8, rest_ns=FRAME_NS + FRAME_NS // 2)
    results = followed(resting, frames[:5])  # 0, 2 and 4 are corrected
    resting.advance(frames[5][0])
    masks, quality = resting.masks([True])
    assert np.array_equal(masks, carried(results[4], resting.motion.previous_origins()))
    resting.anchor(4, frames[4][1][np.newaxis])
    anchored, _ = resting.masks([True])
    assert not np.array_equal(anchored, masks)
    resting.settle(anchored)
    resting.advance(frames[6][0])
    on_its_way, _ = resting.masks([True])
    resting.forget_result(0)
    assert not np.array_equal(resting.masks([True])[0], on_its_way)
    resting.settle(on_its_way)
    resting.advance(frames[7][0])
    resting.advance(frames[7][0])
    _, later = resting.masks([True])
    assert later != quality
    assert overlap(np.uint8(255 * on_its_way[0]), frames[6][1]) > 0.9


@pytest.mark.parametrize(("seqs", "rests"), [((0, 1, 2), False), ((0, 1, 3), True)])
def test_frames_passed_over_make_the_rest_longer(seqs: tuple[int, ...], rests: bool) -> None:
    frames = seen(shipped_clip(1), 4)
    corrector = MaskCorrector(load_correction(), history_frames=8, rest_ns=2 * FRAME_NS)
    for seq in seqs[:-1]:
        corrector.advance(frames[seq][0])
        if seq == 0:
            corrector.anchor(0, frames[0][1][np.newaxis])
        before, _ = corrector.masks([True])
        corrector.settle(before)
    corrector.advance(frames[seqs[-1]][0])
    masks, _ = corrector.masks([True])
    only_carried = np.array_equal(masks, carried(before, corrector.motion.previous_origins()))
    assert only_carried == rests


class Held(Executor):
    """Does what it is given when told."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def test_while_frames_come_late_none_waits_for_its_correction() -> None:
    frames = seen(shipped_clip(1), 6)
    beside = Held()
    pressed = MaskCorrector(load_correction(), history_frames=8, beside=beside)
    at_leisure = new_corrector()
    first = followed(pressed, frames[:2])
    truth = followed(at_leisure, frames[:3])
    assert not beside.waiting
    assert np.array_equal(first, truth[:2])

    def step(index: int) -> Mask:
        pressed.advance(frames[index][0], late=index == 2)
        masks, _ = pressed.masks([True])
        pressed.settle(masks)
        return masks

    motion = pressed.motion
    assert np.array_equal(step(2), carried(first[1], motion.previous_origins()))
    on = step(3)
    assert len(beside.waiting) == 1, "one correction at a time"
    beside.work()
    caught_up = step(4)
    assert np.array_equal(caught_up, carried(truth[2], motion.origins(2)))
    assert not np.array_equal(caught_up, carried(on, motion.previous_origins()))
    assert len(beside.waiting) == 1, "the next one is of this frame"
    beside.work()
    pressed.reset()
    assert np.array_equal(followed(pressed, frames[:2]), first), "of the shot before, nothing"


def test_a_result_that_is_worth_nothing_is_not_taken_up() -> None:
    frames = seen(shipped_clip(1), 4)
    with ThreadPoolExecutor(1) as beside:
        corrector = MaskCorrector(load_correction(), history_frames=8, beside=beside)
        followed(corrector, frames[:2])
        corrector.advance(frames[2][0], late=True)
        results, _ = corrector.masks([True])
        corrector.settle(results)
        corrector.forget_result(0)  # while its correction is under way
        corrector.advance(frames[3][0])
        masks, _ = corrector.masks([True])
    alone = new_corrector()
    for index in (0, 1, 2):
        alone.advance(frames[index][0])
        if index == 0:
            alone.keep([0])
            alone.anchor(0, frames[0][1][np.newaxis])
    alone.advance(frames[3][0])
    assert np.array_equal(masks, alone.masks([True])[0])


def test_a_forgotten_result_has_no_say() -> None:
    frames = seen(shipped_clip(2), 5)
    corrector = new_corrector()
    followed(corrector, frames)
    corrector.settle(np.zeros_like(frames[0][1])[np.newaxis])
    masks, quality = corrector.masks([False])
    assert not masks.any()
    assert quality == (1.0,)
    corrector.forget_result(0)
    masks, _ = corrector.masks([False])
    assert masks.max() > 0.9


def without_thing(clip: MovingClip, index: int) -> Luma:
    """The frame, the thing painted over with what is beside it."""
    pixels, truth = clip.frame_at(index)
    beside = np.roll(cv2.GaussianBlur(pixels, (0, 0), 12), 200, axis=1)
    painted = np.where(truth[..., np.newaxis] > 0.02, beside, pixels)
    return Luma.of(as_frame(np.asarray(painted, np.uint8), index), SIDE)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_thing_that_is_gone_leaves_no_mask_and_less_trust(seed: int) -> None:
    clip = shipped_clip(seed)
    corrector = new_corrector()
    area = float(followed(corrector, seen(clip, 10))[-1].mean())
    _, (good,) = corrector.masks([True])
    for index in range(10, 14):
        corrector.advance(without_thing(clip, index))
        masks, (lost,) = corrector.masks([True])
        corrector.settle(masks)
    assert area > 0.03
    assert masks.mean() < 0.1 * area
    assert lost < good - 0.15


def test_only_frames_that_are_held_can_be_anchors() -> None:
    frames = seen(shipped_clip(0), 14)
    corrector = new_corrector()
    for index, (luma, _) in enumerate(frames):
        corrector.advance(luma)
        corrector.keep([0])
        assert corrector.holds(index)
    assert [seq for seq in range(14) if corrector.holds(seq)] == [0, *range(6, 14)]
    corrector.keep([])
    assert not corrector.holds(0)
    corrector.reset()
    assert not corrector.holds(13)
    with pytest.raises(ModelError, match="expected an anchor"):
        corrector.masks([True])


@pytest.mark.parametrize("content", [None, b"", b"no weights at all"])
def test_weights_that_are_none_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "correction.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="install promptmatte again"):
        load_correction_network(path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_finds_the_same_masks() -> None:
    frames = seen(shipped_clip(5), 6)
    on_cpu, on_gpu = followed(new_corrector(), frames), followed(new_corrector("cuda"), frames)
    assert np.abs(on_cpu[-1] - on_gpu[-1]).mean() < 0.005
