"""The matte loop by itself, stage by stage, beside what others do between two encodes.

The test pictures are played; every 6th frame's true mask comes 4 frames late, as from a model with
5 encodes a second at 30 fps and 120 ms. shrink, motion, correct (of a new keyframe or not) and
edges are the stages of one frame; whole step is MatteStream.step, in a run of its own. Peers in
the same run: enlarge is the least that any keyer does, the old mask enlarged; chain moves it along
DIS FAST flow at 480 px, frame by frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch

from promptmatte.bench.machine import machine
from promptmatte.bench.percentiles import percentiles, timed_ms
from promptmatte.bench.report import Cell, Report, Table
from promptmatte.bench.size import size_text
from promptmatte.config import PipelineConfig
from promptmatte.evaluation.baselines import Baseline, PlainChain, StaleMask
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.correction import MaskCorrector
from promptmatte.matte.correction_engine import load_correction
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.luma import Luma
from promptmatte.matte.masks import masks_of
from promptmatte.matte.stream import Anchor, MatteStream
from promptmatte.models.protocol import Decoded
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.sources.test_pictures import TestPictures

SIZES_HW = ((288, 512), (540, 960), (1080, 1920))
EVERY, LATE = 6, 4
MASK_SIDE_PX = 480
WARM_UP = 12
ROUNDS = 150
COLUMNS = ("size", "prompts", "stage", "p50 ms", "p95 ms", "p99 ms", "IoU")
CONFIG = PipelineConfig()

T = TypeVar("T")
Times = dict[str, list[float]]


def timed(times: Times, stage: str, action: Callable[[], T]) -> T:
    """What the action returns; its milliseconds are noted."""
    ms, result = timed_ms(action)
    times[stage].append(ms)
    return result


class Played:
    """The test pictures as frames, and anchors that come late."""

    def __init__(self, size_hw: tuple[int, int], prompts: int) -> None:
        self._pictures = TestPictures(size_hw=size_hw)
        named = tuple(Prompt(text=f"thing {index}") for index in range(prompts))
        self._prompts = PromptSet(version=1, prompts=named)
        self._frames: dict[int, Frame] = {}

    def frame(self, index: int) -> Frame:
        """Frame number `index`."""
        time_ns = round(index * 1e9 / 30)
        info = FrameInfo(stream_id=1, seq=index, pts_ns=time_ns, captured_ns=time_ns)
        frame = Frame(info=info, pixels=self._pictures.frame_at(index))
        self._frames = {**self._frames, index: frame} if index % EVERY == 0 else self._frames
        return frame

    def truth(self, index: int) -> npt.NDArray[np.bool_]:
        """The person, bool [H, W]."""
        return np.asarray(self._pictures.truth_at(index)["person"] >= 0.5)

    def arrived(self, index: int) -> Anchor | None:
        """The anchor that comes with this frame, if one does."""
        encoded = index - LATE
        if encoded < 0 or encoded % EVERY:
            return None
        info = self._frames.pop(encoded).info
        alpha = self._pictures.truth_at(encoded)["person"]
        scale = min(1.0, MASK_SIDE_PX / max(alpha.shape))
        small = cv2.resize(alpha, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        count = len(self._prompts.prompts)
        logits = np.repeat((16 * (small - 0.5))[np.newaxis], count, axis=0)
        decoded = Decoded(logits=logits, confidence=(0.9,) * count)
        return Anchor(info=info, at=info, decoded=decoded, prompts=self._prompts)


def report(
    command: str,
    *,
    sizes_hw: Sequence[tuple[int, int]] = SIZES_HW,
    prompt_counts: Sequence[int] = (1, 4),
    rounds: int = ROUNDS,
) -> Report:
    """The stages of each size and number of prompts."""
    rows = [
        row
        for size_hw in sizes_hw
        for count in prompt_counts
        for row in measure(size_hw, count, rounds)
    ]
    return Report(
        command=command,
        title="Matte loop",
        about=f"What a frame costs between two encodes, on one thread, {rounds} test pictures, "
        "no encode beside it. A keyframe (the true mask) comes every 6th frame, 4 frames late. "
        "enlarge (the old mask enlarged) and chain (it moved along the flow from frame to frame) "
        "are what other keyers do, on the same keyframes in the same run. IoU: mean overlap with "
        "the truth.",
        machine=machine("numpy", "opencv-python", "torch"),
        tables=[Table(title="Stages of a frame", columns=COLUMNS, rows=rows)],
        raw={"rounds": rounds, "threads": {"opencv": cv2.getNumThreads(), "torch": 1}},
    )


def measure(size_hw: tuple[int, int], prompts: int, rounds: int) -> list[list[Cell]]:
    """The rows of one frame size and number of prompts."""
    times: Times = defaultdict(list)
    ious: Times = defaultdict(list)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the matte thread of a Pipeline
    try:
        stages(Played(size_hw, prompts), rounds, times)
        whole(Played(size_hw, prompts), rounds, times, ious)
    finally:
        torch.set_num_threads(threads)
    return [
        [
            size_text(size_hw),
            prompts,
            stage,
            *percentiles(values[min(WARM_UP, len(values) // 2) :]),
            round(float(np.mean(ious[stage])), 3) if stage in ious else None,
        ]
        for stage, values in times.items()
    ]


def stages(played: Played, rounds: int, times: Times) -> None:
    """Each stage of the matte loop by itself."""
    corrector = MaskCorrector(load_correction(), history_frames=CONFIG.history_frames)
    edges = EdgeRefiner()
    count = 0
    for index in range(rounds + WARM_UP):
        frame = played.frame(index)
        luma = timed(times, "shrink", lambda: Luma.of(frame, CONFIG.flow_side_px))  # noqa: B023
        timed(times, "motion", lambda: corrector.advance(luma))  # noqa: B023
        anchor = played.arrived(index)
        if anchor is not None:
            masks = masks_of(anchor.decoded, luma.small.shape)
            count = len(masks)
            corrector.anchor(anchor.at.seq, masks)
            corrector.keep([anchor.at.seq])
        if count:
            stage = "correct" if anchor is None else "correct, new keyframe"
            found, _ = timed(times, stage, lambda: corrector.masks([True] * count))  # noqa: B023
            corrector.settle(found)
            timed(times, "edges", lambda: edges.refine(found, luma))  # noqa: B023


def whole(played: Played, rounds: int, times: Times, ious: Times) -> None:
    """A whole step, and the peers."""
    stream = MatteStream(CONFIG)
    peers: dict[str, Baseline] = {"enlarge": StaleMask([0.3]), "chain": PlainChain([0.3])}
    for index in range(rounds + WARM_UP):
        frame, anchor = played.frame(index), played.arrived(index)
        if anchor is not None:
            stream.anchor(anchor.info, anchor.decoded, anchor.prompts)
        matte = timed(times, "whole step", lambda: stream.step(frame))  # noqa: B023
        alphas = {
            name: timed(times, name, lambda: peer.step(frame, anchor))  # noqa: B023
            for name, peer in peers.items()
        }
        if matte is None:
            continue
        truth = played.truth(index)
        ious["whole step"].append(overlap(np.asarray(matte.alpha[..., 0], np.uint8), truth))
        for name, alpha in alphas.items():
            if alpha is not None:
                ious[name].append(overlap(alpha[0], truth))


def overlap(alpha: npt.NDArray[np.uint8], truth: npt.NDArray[np.bool_]) -> float:
    """IoU at half alpha."""
    found = alpha >= 128
    return float((found & truth).sum() / max(1, (found | truth).sum()))
