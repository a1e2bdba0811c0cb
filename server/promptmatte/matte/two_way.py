"""Masks of the frames between two keyframes, carried there from both; for work off line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from promptmatte.matte.correction import Mask, MaskCorrector
from promptmatte.matte.correction_engine import load_correction
from promptmatte.matte.luma import Luma

DECISION = 3.0
"""How much the nearer and surer side gains where the two say the opposite."""


class TwoWayMasks:
    """Carries masks forwards from the keyframe before and backwards from the one after.

    What comes into view is known to the one after, what goes out of it to the one before.
    """

    def __init__(self, *, history_frames: int, device: str = "cpu") -> None:
        self._corrector = MaskCorrector(
            load_correction(device=device), history_frames=history_frames
        )

    def between(self, lumas: Sequence[Luma], first: Mask, last: Mask | None) -> list[Mask]:
        """The masks of every frame, float32 [P, h, w], 0 to 1, new arrays.

        lumas: frames of one shot. first, last: masks of the first and the last of them; with
        None for the last it is one way.
        """
        forwards = self._carried(lumas, first)
        if last is None or len(lumas) == 1:
            return [masks for masks, _ in forwards]
        backwards = self._carried(lumas[::-1], last)[::-1]
        steps = len(lumas) - 1
        return [
            _blended(before, after, step / steps)
            for step, (before, after) in enumerate(zip(forwards, backwards, strict=True))
        ]

    def _carried(self, lumas: Sequence[Luma], masks: Mask) -> list[tuple[Mask, Mask]]:
        """For every frame the masks and what is to be expected of each, [P, 1, 1]."""
        self._corrector.reset()
        found = masks.any(axis=(1, 2), keepdims=True)
        results = []
        for seq, luma in enumerate(lumas):
            self._corrector.advance(replace(luma, info=replace(luma.info, seq=seq)))
            if seq == 0:
                self._corrector.keep([0])
                self._corrector.anchor(0, masks)
            carried, quality = self._corrector.masks([True] * len(masks))
            # Nothing is carried from a frame in which nothing was found.
            carried = carried * found
            self._corrector.settle(carried)
            results.append((carried, np.array(quality, np.float32).reshape(-1, 1, 1)))
        return results


def _blended(before: tuple[Mask, Mask], after: tuple[Mask, Mask], way: float) -> Mask:
    """Masks and their quality from both sides as one; way: 0 at the first, 1 at the last."""
    masks, quality = before
    other, other_quality = after
    own = np.maximum((1 - way) * quality, 1e-6)
    share = np.maximum(way * other_quality, 1e-6) / own
    power = 1 + DECISION * np.abs(other - masks)
    weight = share**power
    blended: Mask = masks + weight / (1 + weight) * (other - masks)
    return blended
