"""Times and overlap of the matte loop, stage by stage, beside enlarging the stale mask.

    python benchmarks/matte_loop.py [--rounds N] > matte_loop.json

A textured disc moves over a textured picture; a mask 12 frames old at most is carried to
every frame. luma, flow, carry and edges are the stages of one frame and total is a whole
MatteStream.step. enlarge is the least that any keyer does: the old mask, enlarged with
cv2.resize. iou is the mean overlap of each with the disc as it lies in the frame.
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
from machine import machine
from promptmatte.config import PipelineConfig
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.luma import Luma
from promptmatte.matte.propagation import Propagator
from promptmatte.matte.stream import MatteStream
from promptmatte.models.protocol import Decoded
from promptmatte.prompts import Prompt, PromptSet

SIZES_HW = ((540, 960), (1080, 1920))
ANCHOR_EVERY = 12
MODEL_SIDE_PX = 96
WARM_UP = 10
CONFIG = PipelineConfig()

T = TypeVar("T")
Times = dict[str, list[float]]


class Disc:
    """A textured disc that moves a hundredth of the height a frame, to and fro."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self._size_hw = size_hw
        rng = np.random.default_rng(0)
        self._ground, self._skin = (self._texture(rng, level) for level in (90, 150))

    def alpha(self, index: int) -> npt.NDArray[np.float32]:
        """True alpha [H, W] of frame number `index`."""
        height, width = self._size_hw
        step = index % 100
        x = round(0.3 * width + 0.01 * height * min(step, 100 - step))
        alpha = np.zeros(self._size_hw, np.float32)
        cv2.circle(alpha, (x, height // 2), height // 4, 1.0, -1, cv2.LINE_AA)
        return alpha

    def frame(self, index: int) -> Frame:
        """Frame number `index`."""
        step = index % 100
        moved = np.roll(self._skin, round(0.01 * self._size_hw[0] * min(step, 100 - step)), axis=1)
        alpha = self.alpha(index)[..., np.newaxis]
        pixels = (moved * alpha + self._ground * (1 - alpha)).astype(np.uint8)
        info = FrameInfo(stream_id=1, seq=index, pts_ns=0, captured_ns=0)
        return Frame(info=info, pixels=pixels)

    def _texture(self, rng: np.random.Generator, level: float) -> npt.NDArray[np.float32]:
        coarse = rng.normal(level, 40, (54, 96, 3)).astype(np.float32)
        fine = cv2.resize(coarse, self._size_hw[::-1], interpolation=cv2.INTER_CUBIC)
        return np.clip(fine, 0, 255)


def timed(times: Times, stage: str, action: Callable[[], T]) -> T:
    """The result of the action; its milliseconds are added to the stage."""
    start_ns = time.perf_counter_ns()
    result = action()
    times[stage].append((time.perf_counter_ns() - start_ns) / 1e6)
    return result


def decoded(alpha: npt.NDArray[np.float32], prompts: int) -> Decoded:
    """What a model of low resolution finds, for each prompt the same."""
    side = (MODEL_SIDE_PX, MODEL_SIDE_PX)
    small = cv2.resize(alpha, side, interpolation=cv2.INTER_AREA)
    logits = np.repeat((small * 12 - 6)[np.newaxis], prompts, axis=0)
    return Decoded(logits=logits, confidence=(1.0,) * prompts)


def overlap(alpha: npt.NDArray[np.uint8], truth: npt.NDArray[np.float32]) -> float:
    """Intersection over union at half."""
    found, real = alpha >= 128, truth >= 0.5
    return float((found & real).sum() / (found | real).sum())


def measure(size_hw: tuple[int, int], prompts: int, rounds: int) -> dict[str, object]:
    """Times of one size and number of prompts."""
    disc = Disc(size_hw)
    named = PromptSet(version=1, prompts=tuple(Prompt(text=f"thing {n}") for n in range(prompts)))
    stream, propagator, edges = (
        MatteStream(CONFIG),
        Propagator(history_frames=CONFIG.history_frames),
        EdgeRefiner(),
    )
    times: Times = defaultdict(list)
    ious: Times = defaultdict(list)
    for index in range(rounds + WARM_UP):
        if index == WARM_UP:
            times.clear()
        frame = disc.frame(index)
        luma = timed(times, "luma", lambda: Luma.of(frame, CONFIG.flow_side_px))  # noqa: B023
        timed(times, "flow", lambda: propagator.advance(luma))  # noqa: B023
        if index % ANCHOR_EVERY == 0:
            anchor = index
            found = decoded(disc.alpha(index), prompts)
            small_wh = propagator.size_hw[::-1]
            masks = np.stack([1 / (1 + np.exp(-cv2.resize(p, small_wh))) for p in found.logits])
            propagator.keep([anchor])
            stream.anchor(frame.info, found, named)
        carried = timed(times, "carry", lambda: propagator.carry(masks, anchor))  # noqa: B023
        timed(times, "edges", lambda: edges.refine(carried, luma))  # noqa: B023
        matte = timed(times, "total", lambda: stream.step(frame))  # noqa: B023
        stale = timed(times, "enlarge", lambda: enlarged(masks, size_hw))  # noqa: B023
        if matte is None:
            raise SystemExit(f"expected a matte of frame {index}; got none")
        truth = disc.alpha(index)
        ious["matte"].append(overlap(matte.alpha[..., 0].view(np.uint8), truth))
        ious["enlarge"].append(overlap(stale[..., 0], truth))
    return {
        "size": f"{size_hw[1]}x{size_hw[0]}",
        "prompts": prompts,
        "ms": {stage: percentiles(values) for stage, values in times.items()},
        "iou": {name: round(float(np.mean(values)), 3) for name, values in ious.items()},
    }


def enlarged(masks: npt.NDArray[np.float32], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The baseline: masks as alpha [H, W, P] at full size, and no more."""
    planes = [cv2.resize((m * 255).astype(np.uint8), size_hw[::-1]) for m in masks]
    return planes[0][..., np.newaxis] if len(planes) == 1 else cv2.merge(planes)


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (50, 95, 99)}


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    report = {
        "benchmark": "matte_loop",
        **machine(),
        "opencv": cv2.__version__,
        "rounds": rounds,
        "runs": [measure(size, prompts, rounds) for size in SIZES_HW for prompts in (1, 4)],
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
