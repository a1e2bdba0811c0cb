"""What the controls do to a matte: to the small mask before the edges, to the alpha after."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.controls import Controls, MatteControls

Mask = npt.NDArray[np.float32]
Plane = npt.NDArray[np.uint8]

UNIT_LINES = 540
"""A control's px is a pixel of a picture with this many lines, so that a look holds at any size."""

WIDEST_SOFTNESS_PX = 16.0
"""Half the ramp's width at softness 1."""

CLOSED_PX = 3.0
"""Radius that each step of smoothness closes with: gaps of twice that."""

DISC_PX = 5
"""Larger discs are made of several this size: 20 px take 1.3 ms at 960x540 and not 4.6, and
the edge is within 0.4 px of round."""

WIDE_SIGMA_PX = 2.0
"""A wider blur is made on a shrunk plane: same result, 0.5 ms at any width."""


def shape_mask(mask: Mask, controls: Controls) -> Mask:
    """The small mask float32 [P, h, w], 0 to 1, after threshold, smoothness and overlap.

    The mask itself, untouched, when these controls are at their defaults.
    """
    channels = controls.channels[: len(mask)]
    if any(c.threshold != 0.5 or c.smoothness > 1 for c in channels):
        mask = np.stack([_shaped(*pair) for pair in zip(mask, channels, strict=True)])
    if controls.stream.overlap == "exclusive" and len(mask) > 1:
        mask = _exclusive(mask)
    return mask


def finish_alpha(alpha: Plane, controls: Controls, channels: int) -> Plane:
    """Alpha uint8 [H, W, C] after softness, expand, feather and invert, in place.

    alpha is the caller's to give away. channels: how many of the C belong to a prompt;
    the others are left alone.
    """
    for index, channel in enumerate(controls.channels[:channels]):
        if channel.softness or channel.expand or channel.feather or channel.invert:
            plane = alpha[:, :, 0] if alpha.shape[2] == 1 else cv2.extractChannel(alpha, index)
            cv2.insertChannel(_finished(plane, channel), alpha, index)
    return alpha


def _shaped(mask: Mask, controls: MatteControls) -> Mask:
    threshold = np.float32(controls.threshold)
    if threshold != 0.5:
        # The logit moved by the threshold's own: 0, 1 and the ramp between them stay, and
        # what was at the threshold is at half.
        mask = (1 - threshold) * mask / (threshold + (1 - 2 * threshold) * mask)
    radius_px = (controls.smoothness - 1) * CLOSED_PX * len(mask) / UNIT_LINES
    if round(radius_px):
        closed: Mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(round(radius_px)))
        return closed
    return mask


def _exclusive(mask: Mask) -> Mask:
    """The strongest keeps its value at each place (of equals the first); the others have at
    most what it leaves."""
    strongest = mask.max(axis=0)
    first = mask.argmax(axis=0) == np.arange(len(mask))[:, np.newaxis, np.newaxis]
    return np.where(first, mask, np.minimum(mask, 1 - strongest))


def _finished(plane: Plane, controls: MatteControls) -> Plane:
    px = len(plane) / UNIT_LINES
    if cv2.hasNonZero(plane):
        if controls.softness:
            plane = _ramped(plane, controls.softness * WIDEST_SOFTNESS_PX * px)
        if controls.expand:
            plane = _expanded(plane, controls.expand * px)
        if controls.feather:
            plane = _blurred(plane, controls.feather * px / 2)
    if controls.invert:
        cv2.bitwise_not(plane, dst=plane)
    return plane


def _ramped(plane: Plane, radius_px: float) -> Plane:
    """Hard edges as straight ramps, this far to each side: the mean over a square."""
    whole, part = divmod(radius_px, 1.0)
    return _between(_box(plane, int(whole)), _box(plane, int(whole) + 1), part)


def _expanded(plane: Plane, radius_px: float) -> Plane:
    """Grey dilation with a disc; erosion for a radius under 0. What a picture's border cuts
    stays at the border."""
    change = cv2.dilate if radius_px > 0 else cv2.erode
    whole, part = divmod(abs(radius_px), 1.0)
    steps, rest = divmod(int(whole), DISC_PX)
    for _ in range(steps):
        plane = change(plane, _disc(DISC_PX))
    if not rest and not part:
        return plane
    return _between(change(plane, _disc(rest)), change(plane, _disc(rest + 1)), part)


def _blurred(plane: Plane, sigma_px: float) -> Plane:
    """Gaussian blur, a wide one on a plane shrunk by `factor`.

    Shrinking by area and linear enlarging blur by a variance of factor² / 4 themselves.
    """
    height, width = plane.shape
    factor = 1
    while sigma_px / factor >= WIDE_SIGMA_PX and 2 * factor <= min(height, width):
        factor *= 2
    if factor == 1:
        return _gaussian(plane, sigma_px)
    small_wh = (-(-width // factor), -(-height // factor))
    small = cv2.resize(plane, small_wh, interpolation=cv2.INTER_AREA)
    small = _gaussian(small, math.sqrt((sigma_px / factor) ** 2 - 0.25))
    large: Plane = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return large


def _gaussian(plane: Plane, sigma_px: float) -> Plane:
    blurred: Plane = cv2.GaussianBlur(plane, (0, 0), sigma_px)
    return blurred


def _box(plane: Plane, radius_px: int) -> Plane:
    side = 2 * radius_px + 1
    mean: Plane = cv2.blur(plane, (side, side))
    return mean


def _between(first: Plane, second: Plane, part: float) -> Plane:
    """The way from one to the other, 0 to 1, so that a fraction of a pixel counts."""
    between: Plane = cv2.addWeighted(first, 1.0 - part, second, part, 0.0)
    return between


@lru_cache(maxsize=64)
def _disc(radius_px: int) -> npt.NDArray[Any]:
    """A structuring element uint8, round for every radius; not to be changed."""
    across = np.arange(-radius_px, radius_px + 1)
    return (across**2 + across[:, np.newaxis] ** 2 <= (radius_px + 0.25) ** 2).astype(np.uint8)
