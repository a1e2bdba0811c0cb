"""The measures of one clip, taken frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.evaluation.baselines import Alpha
from promptmatte.evaluation.clips import KEPT_FRAMES, LabelledFrames
from promptmatte.evaluation.measures import (
    Mask,
    Motion,
    boundary_f,
    flicker,
    iou,
    small_grey,
    small_wh,
    steady,
)

Measures = dict[str, float]
"""J, F, flicker, stale_share, ms_per_frame."""

DECIMALS = {"J": 4, "F": 4, "flicker": 5, "stale_share": 4, "ms_per_frame": 3}


def mean_measures(measures: Iterable[Measures]) -> Measures:
    """The mean of each measure."""
    rows = list(measures)
    return {
        name: round(float(np.mean([row[name] for row in rows])), decimals)
        for name, decimals in DECIMALS.items()
    }


class Judge:
    """What the frames of a clip are measured against; each thing is worked out once for all
    who are judged."""

    def __init__(self, frames: LabelledFrames, *, first: int) -> None:
        self.frames = frames
        self._first = first
        self.steady: Callable[[int], tuple[Motion, list[Mask]] | None] = lru_cache(KEPT_FRAMES)(
            self._steady
        )
        """seq -> the motion from the frame before, and for each prompt the pixels whose true
        alpha only moved; None unless both frames are scored and of one size."""
        self._grey = lru_cache(2)(self._small_grey)

    def scores(self, seq: int) -> bool:
        """True for a frame that has a mask and that someone could have a matte of."""
        return seq >= self._first and self.frames.has_truth(seq)

    def _small_grey(self, seq: int) -> npt.NDArray[np.uint8]:
        return small_grey(self.frames.frame(seq))

    def _steady(self, seq: int) -> tuple[Motion, list[Mask]] | None:
        if not (self.scores(seq) and self.scores(seq - 1)):
            return None
        earlier, now = self._grey(seq - 1), self._grey(seq)
        truth, truth_before = self.frames.truth(seq), self.frames.truth(seq - 1)
        if truth.planes.shape != truth_before.planes.shape:
            return None
        motion = Motion.between(earlier, now)
        known = shrunk(truth.known) == 1
        pairs = zip(truth.planes, truth_before.planes, strict=True)
        return motion, [
            steady(shrunk(plane), shrunk(before), motion) & known for plane, before in pairs
        ]


class Score:
    """Collects one clip's measures of one way to mattes; frames come in their order."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._next = 0
        self._before: list[npt.NDArray[np.float32]] | None = None
        self._values: dict[str, list[float]] = {name: [] for name in DECIMALS}

    def took(self, wall_ms: float) -> None:
        """One frame was worked on for so long."""
        self._values["ms_per_frame"].append(wall_ms)

    def add(self, seq: int, alpha: Alpha, *, stale: bool) -> None:
        """The alpha [P, H, W] of a frame. Frames passed over had none."""
        self._pass_over_until(seq)
        self._add(seq, alpha, stale=stale)
        self._next = seq + 1

    def measures(self) -> Measures:
        """All of the clip: means over its frames and prompts, and the median ms."""
        self._pass_over_until(len(self._judge.frames))
        means = {
            name: float(np.median(values) if name == "ms_per_frame" else np.mean(values))
            for name, values in self._values.items()
            if values
        }
        return {name: round(means.get(name, 0.0), places) for name, places in DECIMALS.items()}

    def _pass_over_until(self, seq: int) -> None:
        while self._next < seq:
            self._add(self._next, None, stale=True)
            self._next += 1

    def _add(self, seq: int, alpha: Alpha | None, *, stale: bool) -> None:
        if not self._judge.scores(seq):
            return
        truth = self._judge.frames.truth(seq)
        if alpha is None:
            alpha = np.zeros(truth.planes.shape, np.uint8)
        for plane, real in zip(alpha, truth.planes, strict=True):
            found = (plane >= 128) & truth.known
            self._values["J"].append(iou(found, real))
            self._values["F"].append(boundary_f(found, real))
        self._values["stale_share"].append(float(stale))
        self._add_flicker(seq, [shrunk(plane) for plane in alpha])

    def _add_flicker(self, seq: int, alpha: list[npt.NDArray[np.float32]]) -> None:
        before, self._before = self._before, alpha
        pair = self._judge.steady(seq)
        if pair is None or before is None:
            return
        motion, where = pair
        for plane, earlier, pixels in zip(alpha, before, where, strict=True):
            self._values["flicker"].append(flicker(plane, earlier, motion, pixels))


def shrunk(plane: npt.NDArray[np.bool_] | npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A mask or alpha [H, W] as float32 [h, w], 0 to 1, at the size motion is measured at."""
    high = 1.0 if plane.dtype == np.bool_ else 255.0
    size_wh = small_wh((plane.shape[0], plane.shape[1]))
    small = cv2.resize(plane.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(small / high, np.float32)
