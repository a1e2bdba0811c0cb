"""The colours of a thing without those of the ground that it stood before."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.matte.luma import halved
from promptmatte.matte.tiles import EDGE, INSIDE, OUTSIDE, runs

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]

SPREAD_SIDE_PX = 240
"""Longer side, at least, of the picture on which colours are spread; less than twice that."""

FAR, NEAR = 22, 2
"""Half the windows of the two passes on that picture: 90 and 8 pixels of 960x540."""

FAINT = 1e-3
"""Alpha that is added to every mean, so that colours are there where the thing is not."""

TILE_PX = 48

_SHARE = np.arange(256) / 255
OF_FRAME, OF_THING, OF_GROUND = (
    np.rint(255 * weight).astype(np.uint8)
    for weight in (_SHARE**2, _SHARE * (1 - _SHARE**2), _SHARE**2 * (1 - _SHARE))
)
"""By alpha, how much of each makes the premultiplied colour: alpha times the thing's mean
colour and alpha times what the frame differs from a blend of both mean colours."""


def premultiplied_foreground(pixels: npt.NDArray[Any], alpha: Pixels) -> Pixels:
    """The thing's own colours times alpha, and alpha: uint8 [H, W, 4], a new array.

    pixels: uint8 RGB [H, W, 3]; alpha: uint8 [H, W]. Where alpha is 255 they are the
    frame's, where it is 0 all is 0, and no colour exceeds its alpha. Between, the ground
    that shines through is taken out: blur fusion, twice (Forte 2021, Approximate Fast
    Foreground Colour Estimation), at a small size but for the last step.
    """
    height, width = alpha.shape
    out = np.zeros((height, width, 4), np.uint8)
    kinds = _kinds(alpha)
    thing, ground = _spread(pixels, alpha) if (kinds == EDGE).any() else (out, out)
    scale_y, scale_x = thing.shape[0] / height, thing.shape[1] / width
    for row, first, end, kind in runs(kinds):
        y, x = row * TILE_PX, first * TILE_PX
        part = slice(y, y + TILE_PX), slice(x, end * TILE_PX)
        if kind == INSIDE:
            out[part] = cv2.cvtColor(pixels[part], cv2.COLOR_RGB2RGBA)
            continue
        to_small = np.array(
            [
                [scale_x, 0, (x + 0.5) * scale_x - 0.5],
                [0, scale_y, (y + 0.5) * scale_y - 0.5],
            ]
        )
        out[part] = _fused(pixels[part], alpha[part], thing, ground, to_small)
    return out


def foreground_colours(pixels: npt.NDArray[Any], alpha: Pixels) -> Pixels:
    """The thing's own colours, not multiplied by alpha: uint8 [H, W, 3], a new array.

    As premultiplied_foreground, at every pixel: for straight alpha off line. Where alpha
    is 0 they are those of the thing nearby, so that nothing else bleeds in when a codec or
    a filter mixes neighbours.
    """
    if not alpha.any():
        return pixels.copy()
    size_wh = alpha.shape[1], alpha.shape[0]
    thing, ground = (
        cv2.resize(colours, size_wh)[..., :3].astype(np.float32)
        for colours in _spread(pixels, alpha)
    )
    share = (alpha / np.float32(255))[..., np.newaxis]
    thing += share * (pixels - share * thing - (1 - share) * ground)
    colours = np.clip(thing + 0.5, 0, 255).astype(np.uint8)
    return np.where(share == 1, pixels, colours)


def _fused(
    pixels: Pixels, alpha: Pixels, thing: Pixels, ground: Pixels, to_small: npt.NDArray[np.float64]
) -> Pixels:
    """One tile of the result. thing and ground: the whole small pictures."""
    rgba = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    fused = _weighted(rgba, OF_FRAME, alpha)
    for colours, weights, join in ((thing, OF_THING, cv2.add), (ground, OF_GROUND, cv2.subtract)):
        enlarged = cv2.warpAffine(
            colours,
            to_small,
            alpha.shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        join(fused, _weighted(enlarged, weights, alpha), dst=fused)
    shares = cv2.merge([alpha] * 4)
    cv2.min(fused, shares, dst=fused)
    cv2.insertChannel(alpha, fused, 3)
    return fused


def _weighted(colours: Pixels, weights: Pixels, alpha: Pixels) -> Pixels:
    weight = cv2.merge([cv2.LUT(alpha, weights)] * 4)
    weighted: Pixels = cv2.multiply(colours, weight, scale=1 / 255)
    return weighted


def _spread(pixels: Pixels, alpha: Pixels) -> tuple[Pixels, Pixels]:
    """The mean colours of thing and ground about each place, small: uint8 [h, w, 4] each."""
    height, width = alpha.shape
    scale = min(1.0, SPREAD_SIDE_PX / max(height, width))
    small_wh = max(1, round(width * scale)), max(1, round(height * scale))
    # Multiplied at twice the size: the mean of products is not the product of means.
    twice_hw = 2 * small_wh[1], 2 * small_wh[0]
    colours = cv2.cvtColor(halved(pixels, twice_hw), cv2.COLOR_RGB2RGBA)
    share = cv2.merge([halved(alpha, twice_hw)] * 4)
    of_thing = cv2.multiply(colours, share, scale=1 / 255)
    of_ground = cv2.subtract(colours, of_thing)
    frame, thing, ground = (_small(picture, small_wh) for picture in (colours, of_thing, of_ground))
    return _passes(frame, thing, ground)


def _passes(frame: Floats, thing: Floats, ground: Floats) -> tuple[Pixels, Pixels]:
    """All [h, w, 4], 0 to 1: colours and 1; the same times alpha; the rest of it."""
    share = cv2.merge([cv2.extractChannel(thing, 3)] * 4)
    rest = 1 - share
    thing, ground = _mean(thing, FAR, frame), _mean(ground, FAR, frame)
    left = frame - share * thing - rest * ground
    near_thing = _mean(share * np.clip(thing + share * left, 0, 1), NEAR, thing)
    near_ground = _mean(rest * np.clip(ground + rest * left, 0, 1), NEAR, ground)
    return _levels(near_thing), _levels(near_ground)


def _mean(weighted: Floats, half: int, instead: Floats) -> Floats:
    """Sum of colours times weight over sum of weights, in every window.

    weighted: [h, w, 4], colours times weight and the weight; instead: colours and 1, for
    windows without any weight.
    """
    side = 2 * half + 1
    sums = cv2.blur(weighted, (side, side), borderType=cv2.BORDER_REFLECT)
    cv2.scaleAdd(instead, FAINT, sums, dst=sums)
    mean: Floats = cv2.divide(sums, cv2.merge([cv2.extractChannel(sums, 3)] * 4))
    return mean


def _small(picture: Pixels, size_wh: tuple[int, int]) -> Floats:
    small: Pixels = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)
    return np.multiply(small, np.float32(1 / 255), dtype=np.float32)


def _levels(colours: Floats) -> Pixels:
    levels: Pixels = cv2.convertScaleAbs(colours, alpha=255)
    return levels


def _kinds(alpha: Pixels) -> Pixels:
    """What is in each tile; the last ones may be smaller."""
    rows = [alpha[y : y + TILE_PX] for y in range(0, alpha.shape[0], TILE_PX)]
    columns = np.arange(0, alpha.shape[1], TILE_PX)
    low = np.minimum.reduceat(np.vstack([row.min(axis=0) for row in rows]), columns, axis=1)
    high = np.maximum.reduceat(np.vstack([row.max(axis=0) for row in rows]), columns, axis=1)
    return np.where(high == 0, OUTSIDE, np.where(low == 255, INSIDE, EDGE)).astype(np.uint8)
