"""Times and overlap of the matte loop, stage by stage, beside what others do between encodes.

    python benchmarks/matte_loop.py [--rounds N] > matte_loop.json

The test pictures (photographs in motion) are played; every 6th frame's true mask comes 4
frames late, as from a model with 5 encodes a second at 30 fps and 120 ms. shrink,
motion+encode, correct and edges are the stages of one frame, anchor comes on top when one
arrives; total is a whole MatteStream.step, in a run of its own. Peers in the same run:
enlarge is the least that any keyer does, the old mask enlarged; chain moves it along DIS
FAST flow at 480 px, frame by frame. iou: the mean overlap of each with the truth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from machine import machine
from promptmatte.config import PipelineConfig
from promptmatte.evaluation.baselines import PlainChain, StaleMask
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
CONFIG = PipelineConfig()

T = TypeVar("T")
Times = dict[str, list[float]]


def timed(times: Times, stage: str, action: Callable[[], T]) -> T:
    """What the action returns; its milliseconds are noted."""
    start = time.perf_counter()
    result = action()
    times[stage].append(1e3 * (time.perf_counter() - start))
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


def measure(size_hw: tuple[int, int], prompts: int, rounds: int) -> dict[str, object]:
    """Milliseconds of each stage and mean overlap, of one frame size and number of prompts."""
    times: Times = defaultdict(list)
    ious: Times = defaultdict(list)
    torch.set_num_threads(1)  # as in the matte thread of a Pipeline
    stages(Played(size_hw, prompts), rounds, times)
    whole(Played(size_hw, prompts), rounds, times, ious)
    return {
        "size": f"{size_hw[1]}x{size_hw[0]}",
        "prompts": prompts,
        "ms": {
            stage: percentiles(values[min(WARM_UP, len(values) // 2) :])
            for stage, values in times.items()
        },
        "iou": {name: round(float(np.mean(values)), 3) for name, values in ious.items()},
    }


def stages(played: Played, rounds: int, times: Times) -> None:
    """Each stage of the matte loop by itself."""
    corrector = MaskCorrector(load_correction(), history_frames=CONFIG.history_frames)
    edges = EdgeRefiner()
    count = 0
    for index in range(rounds + WARM_UP):
        frame = played.frame(index)
        luma = timed(times, "shrink", lambda: Luma.of(frame, CONFIG.flow_side_px))  # noqa: B023
        timed(times, "motion+encode", lambda: corrector.advance(luma))  # noqa: B023
        anchor = played.arrived(index)
        if anchor is not None:
            masks = masks_of(anchor.decoded, luma.small.shape)
            count = len(masks)
            seq = anchor.at.seq
            timed(times, "anchor", lambda: corrector.anchor(seq, masks))  # noqa: B023
            corrector.keep([seq])
        if count:
            found, _ = timed(times, "correct", lambda: corrector.masks([True] * count))  # noqa: B023
            corrector.settle(found)
            timed(times, "edges", lambda: edges.refine(found, luma))  # noqa: B023


def whole(played: Played, rounds: int, times: Times, ious: Times) -> None:
    """A whole step, and the peers."""
    stream = MatteStream(CONFIG)
    peers = {"enlarge": StaleMask([0.3]), "chain": PlainChain([0.3])}
    for index in range(rounds + WARM_UP):
        frame, anchor = played.frame(index), played.arrived(index)
        if anchor is not None:
            stream.anchor(anchor.info, anchor.decoded, anchor.prompts)
        matte = timed(times, "total", lambda: stream.step(frame))  # noqa: B023
        alphas = {
            name: timed(times, name, lambda: peer.step(frame, anchor))  # noqa: B023
            for name, peer in peers.items()
        }
        if matte is None:
            continue
        truth = played.truth(index)
        ious["total"].append(overlap(np.asarray(matte.alpha[..., 0], np.uint8), truth))
        for name, alpha in alphas.items():
            if alpha is not None:
                ious[name].append(overlap(alpha[0], truth))


def overlap(alpha: npt.NDArray[np.uint8], truth: npt.NDArray[np.bool_]) -> float:
    """IoU at half alpha."""
    found = alpha >= 128
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (50, 95, 99)}


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=150)
    rounds = parser.parse_args().rounds
    report = {
        "benchmark": "matte_loop",
        **machine(),
        "opencv": cv2.__version__,
        "torch": torch.__version__,
        "threads": [cv2.getNumThreads(), torch.get_num_threads()],
        "rounds": rounds,
        "runs": [measure(size, prompts, rounds) for size in SIZES_HW for prompts in (1, 4)],
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
