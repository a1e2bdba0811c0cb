"""Fits a small soft mask to the edges of the full picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.matte.luma import Luma

Floats = npt.NDArray[np.floating[Any]]

RADIUS_PX = 3
"""Half the window at the mask's resolution."""

SMOOTHNESS = np.float32((0.02 * 255.0) ** 2)
"""Contrast, in levels squared, from which an edge of the picture shapes the mask."""

CUT_OFF = 0.1
"""Alpha up to this becomes 0, and from 1 - this becomes 1, so that insides are solid."""


class EdgeRefiner:
    """The fast guided filter (He and Sun 2015), guided by brightness.

    A linear model alpha = a * luma + b is fitted in every window at the mask's
    resolution; a and b are enlarged and applied to the full picture. Holds buffers of
    the last size; used from one thread.
    """

    def __init__(self) -> None:
        self._gain: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._bias: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)

    def refine(self, mask: npt.NDArray[np.float32], luma: Luma) -> npt.NDArray[np.uint8]:
        """Alpha uint8 [H, W, C] at full size, a new array: C = 1 for one prompt, else 4.

        mask: float32 [P, h, w], 0 to 1, P of 1 to 4, size of luma.small.
        """
        if self._gain.shape != luma.full.shape:
            self._gain = np.empty(luma.full.shape, np.float32)
            self._bias = np.empty(luma.full.shape, np.float32)
        guide = luma.small.astype(np.float32)
        mean = _mean(guide)
        spread = _mean(guide * guide) - mean * mean + SMOOTHNESS
        planes = [self._plane(channel, guide, mean, spread, luma.full) for channel in mask]
        if len(planes) == 1:
            return planes[0][:, :, np.newaxis]
        while len(planes) < 4:
            planes.append(np.zeros(luma.full.shape, np.uint8))
        alpha: npt.NDArray[np.uint8] = cv2.merge(planes)
        return alpha

    def _plane(
        self,
        mask: npt.NDArray[np.float32],
        guide: Floats,
        mean: Floats,
        spread: Floats,
        full: npt.NDArray[np.uint8],
    ) -> npt.NDArray[np.uint8]:
        if not mask.any():
            return np.zeros(full.shape, np.uint8)
        mask_mean = _mean(mask)
        gain: Floats = (_mean(mask * guide) - mask_mean * mean) / spread
        bias = _mean(mask_mean - gain * mean)
        gain = _mean(gain)
        stretch = 255.0 / (1.0 - 2.0 * CUT_OFF)
        size_wh = (full.shape[1], full.shape[0])
        cv2.resize(gain * stretch, size_wh, dst=self._gain)
        cv2.resize((bias - CUT_OFF) * stretch, size_wh, dst=self._bias)
        cv2.multiply(self._gain, full, dst=self._gain, dtype=cv2.CV_32F)
        # To uint8 OpenCV rounds and saturates: the clamp to 0 and 255.
        plane: npt.NDArray[np.uint8] = cv2.add(self._gain, self._bias, dtype=cv2.CV_8U)
        return plane


def _mean(values: Floats) -> Floats:
    side = 2 * RADIUS_PX + 1
    mean: Floats = cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)
    return mean
