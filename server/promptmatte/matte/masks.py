"""What a model decoded as masks of the matte loop."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.models.protocol import Decoded


def masks_of(decoded: Decoded, size_hw: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Masks float32 [P, h, w], 0 to 1: the sigmoid of the logits at another size."""
    height, width = size_hw
    masks = np.empty((len(decoded.logits), height, width), np.float32)
    for logits, mask in zip(decoded.logits, masks, strict=True):
        mask[:] = _sigmoid(cv2.resize(logits, (width, height)))
    return masks


def usable_confidence(decoded: Decoded) -> tuple[float, ...]:
    """The confidences, each within 0 to 1; 0 for what is no number."""
    return tuple(
        min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0 for value in decoded.confidence
    )


def widest(alpha: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Where any prompt is, from alpha uint8 [H, W, C]: uint8 [H, W], contiguous.

    Pairwise: numpy.max over the last axis is many times slower.
    """
    channels = cv2.split(alpha)
    union: npt.NDArray[np.uint8] = channels[0]
    for channel in channels[1:]:
        union = cv2.max(union, channel)
    return union


def _sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.floating[Any]]:
    odds = np.exp(np.clip(logits, -30.0, 30.0))
    return odds / (1.0 + odds)
