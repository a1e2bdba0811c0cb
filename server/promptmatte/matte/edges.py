"""Fits a small soft mask to the edges of the full picture, hair by hair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.matte.luma import Luma
from promptmatte.matte.tiles import EDGE, INSIDE, runs

Floats = npt.NDArray[np.floating[Any]]
Levels = npt.NDArray[np.uint8]
Box = tuple[slice, slice]

CELL_PX = 2
"""Side of the cells, in pixels of the mask, in which colours are summed up before windows
are laid over them: a fit needs a quarter of the time and keeps its quality."""

WINDOW_CELLS = 2
"""Half the side of the window in which thing and ground are told apart by colour."""

MEAN_CELLS = 1
"""Half the side of the window over which neighbouring fits are averaged."""

REACH_PX = 3
"""How far from the mask's own edge the true one is looked for, in pixels of the mask."""

NOISE = np.float32(0.02**2)
"""Variance of a colour, 0 to 1, that is taken for noise."""

DOUBT = 0.09
"""Square of the explained share at which fit and mask count the same, at half detail."""

GRAIN = 1e-3
"""What is added to it for each unit of steepness squared, as a steep fit shows the noise of the
camera: with 3.6 levels of it the edge of a dark thing before a dark ground flickers by 40 %
less, for 2 % more error of a still picture."""

DETAIL_RANGE = 64
"""By how much, squared, both fall from no detail to all of it."""

CONTRAST = np.float32(1.25)
"""Steepening of the mask about half: masks are blurred by being resampled on their way."""

CUT_OFF = 0.07
"""Alpha up to this becomes 0, and from 1 - this becomes 1, so that insides are solid."""

TILE_PX = 48
"""Side of the squares of the frame that are fitted or filled as a whole."""

STRETCH = 1 / (1 - 2 * CUT_OFF)

LUMA_WEIGHTS = np.array([[0.299], [0.587], [0.114]], np.float32)
"""a is divided by these, as the fastest sum of three channels in OpenCV, a seventh of the time
of a product with a vector, is the brightness."""

NO_FITS = np.zeros((1, 1, 4), np.float32)


class EdgeRefiner:
    """The fast guided filter (He and Sun 2015), guided by colour, in the band about the edge.

    In every window of the shrunk picture alpha = a . rgb + b is fitted to the mask; a and b
    are enlarged and applied to the pixels of the frame. Where colour explains the mask (its
    R squared, the explained share of the variance, is high) the fit is steepened as if it
    explained all of it, so that hair is opaque; where thing and ground look alike the
    enlarged mask takes its place. Away from the edge alpha is 0 or 255 and costs little.
    Guided by brightness instead, it errs by a third more (benchmarks/edges.py).
    """

    def refine(
        self, mask: npt.NDArray[np.float32], picture: Luma, detail: Sequence[float] = ()
    ) -> Levels:
        """Alpha uint8 [H, W, C] at full size, a new array: C = 1 for one prompt, else 4.

        mask: float32 [P, h, w], 0 to 1, P of 1 to 4, size of picture.small. detail: for each
        prompt 0 (the mask's own outline) to 1 (every hair, and noise where thing and ground
        look alike); 0.5 for those not given.
        """
        alpha = np.zeros((*picture.size_hw, 1 if len(mask) == 1 else 4), np.uint8)
        levels = [np.clip(CONTRAST * plane + (1 - CONTRAST) / 2, 0, 1) for plane in mask]
        bands = [_band(level) for level in levels]
        box = _box(bands)
        guide = _Guide(picture.small_rgb[box])
        wanted = (*detail, *[0.5] * len(levels))
        for channel, (level, band) in enumerate(zip(levels, bands, strict=True)):
            fits = guide.fits(level[box], band[box], wanted[channel]) if band.any() else NO_FITS
            _draw(level, band, fits, box, picture.pixels, out=alpha[..., channel])
        return alpha


class _Guide:
    """The colours of the shrunk picture about the edges, and how they vary in every window.

    All with a fourth channel of 1: OpenCV takes a quarter of the time for four channels
    that it takes for three, and the means of a mask come with those of mask times colour.
    """

    def __init__(self, rgb: Levels) -> None:
        rgb1 = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
        gbr1 = np.empty_like(rgb1)
        cv2.mixChannels([rgb1], [gbr1], [1, 0, 2, 1, 0, 2, 3, 3])
        self._rgb1 = np.multiply(rgb1, np.float32(1 / 255), dtype=np.float32)
        self._mean = _windows(self._rgb1)
        self._squares = _windows(cv2.multiply(rgb1, rgb1, scale=1 / 255**2, dtype=cv2.CV_32F))
        self._products = _windows(cv2.multiply(rgb1, gbr1, scale=1 / 255**2, dtype=cv2.CV_32F))

    def fits(self, level: Floats, band: Levels, detail: float) -> Floats:
        """a, divided by LUMA_WEIGHTS, and b of alpha = a . rgb + b: float32 [h, w, 4], 0 to 1."""
        size_wh = level.shape[1], level.shape[0]
        cells = cv2.resize(band, _cells_wh(level), interpolation=cv2.INTER_NEAREST)
        at = np.flatnonzero(cells)
        slope, bias, trust = self._fitted(level, at, detail)
        values = np.zeros((*cells.shape, 4), np.float32)
        values.reshape(-1, 4)[at] = np.vstack([slope / LUMA_WEIGHTS, bias]).T * STRETCH
        trusts = np.zeros(cells.shape, np.float32)
        trusts.reshape(-1)[at] = trust
        # In the band as much of the mask as colour leaves open; beyond it the mask is 0 or 1.
        rest = 1 - cv2.resize(_neighbours(trusts), size_wh)
        own = level.copy()
        cv2.copyTo(cv2.multiply(level, rest), band, own)
        fits: Floats = cv2.copyTo(cv2.resize(_neighbours(values), size_wh), band)
        bias = cv2.extractChannel(fits, 3)
        bias = cv2.addWeighted(own, STRETCH, bias, 1, -CUT_OFF * STRETCH)
        cv2.insertChannel(bias, fits, 3)
        return fits

    def _fitted(
        self, level: Floats, at: npt.NDArray[np.intp], detail: float
    ) -> tuple[Floats, Floats, Floats]:
        """a [3, N], b [N] and their weight beside the mask [N] in the windows of these cells."""
        mean = _at(self._mean, at)[:3]
        weighted = _at(_windows(cv2.multiply(self._rgb1, cv2.merge([level] * 4))), at)
        level_mean = weighted[3]
        level_square = _windows(cv2.multiply(level, level)).ravel()[at]
        shared = weighted[:3] - level_mean * mean
        slope = _solved(
            _at(self._squares, at)[:3] - mean * mean + NOISE,
            _at(self._products, at)[:3] - mean * mean[[1, 2, 0]],
            shared,
        )
        spread = np.maximum(level_square - level_mean * level_mean, np.float32(1e-6))
        explained = np.clip((slope * shared).sum(axis=0) / spread, 0, 1)
        square = explained * explained
        steepness = (slope * slope).sum(axis=0) / np.maximum(square, np.float32(1e-3))
        doubt = DETAIL_RANGE ** (1 - 2 * detail) * (DOUBT + GRAIN * steepness)
        # Divided by the explained share, and weighted with square / (square + doubt).
        gain = explained / (square + doubt)
        slope *= gain
        trust = explained * gain
        return slope, trust * level_mean - (slope * mean).sum(axis=0), trust


def _draw(
    level: Floats, band: Levels, fits: Floats, box: Box, pixels: Levels, *, out: Levels
) -> None:
    """Writes alpha into out [H, W], which is zeros. fits: those of the box of the mask."""
    (height, width), (rows, columns) = out.shape, level.shape
    scale_y, scale_x = rows / height, columns / width
    side = max(1, round(TILE_PX * scale_x))
    ys = [min(height, round(y / scale_y)) for y in range(0, rows + side, side)]
    xs = [min(width, round(x / scale_x)) for x in range(0, columns + side, side)]
    for row, first, end, kind in runs(_tiles(level, band, side)):
        part = slice(ys[row], ys[row + 1]), slice(xs[first], xs[end])
        if not out[part].size:  # of a picture of few lines, which has fewer than its mask
            continue
        if kind == INSIDE:
            out[part] = 255
            continue
        y = (part[0].start + 0.5) * scale_y - 0.5 - box[0].start
        x = (part[1].start + 0.5) * scale_x - 0.5 - box[1].start
        out[part] = _applied(fits, np.array([[scale_x, 0, x], [0, scale_y, y]]), pixels[part])


def _applied(fits: Floats, to_mask: npt.NDArray[np.float64], pixels: Levels) -> Levels:
    """The fits, enlarged, at these pixels: alpha 0 to 255."""
    height, width = pixels.shape[:2]
    enlarged = cv2.warpAffine(
        fits,
        to_mask,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    # The fourth channel is 255: b is multiplied by it.
    rgba = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    terms = cv2.multiply(enlarged, rgba, dst=enlarged, dtype=cv2.CV_32F)
    slopes, bias = cv2.cvtColor(terms, cv2.COLOR_RGBA2GRAY), cv2.extractChannel(terms, 3)
    # To uint8 OpenCV rounds and saturates: the clamp to 0 and 255.
    alpha: Levels = cv2.add(slopes, bias, dtype=cv2.CV_8U)
    return alpha


def _tiles(level: Floats, band: Levels, side: int) -> Levels:
    """What is in each tile; the last ones may be smaller."""
    any_edge = cv2.dilate(band, np.ones((side, side), np.uint8), anchor=(0, 0))[::side, ::side]
    return np.where(any_edge, np.uint8(EDGE), (level[::side, ::side] >= 0.5) * np.uint8(INSIDE))


def _band(level: Floats) -> Levels:
    """255 where the edge may be: near values on both sides of it, or between them. [h, w]"""
    reach = np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8)
    whole = cv2.convertScaleAbs(level, alpha=255)
    some, not_all = cv2.dilate(whole, reach) > 0, cv2.erode(whole, reach) < 255
    return np.where(some & not_all, np.uint8(255), np.uint8(0))


def _box(bands: Sequence[Levels]) -> Box:
    """The part of the mask, in whole cells, that holds the bands and the windows about them."""
    height, width = bands[0].shape
    x, y, wide, high = cv2.boundingRect(np.bitwise_or.reduce(bands))
    around = CELL_PX * (WINDOW_CELLS + 1)
    return _whole_cells(y - around, y + high + around, height), _whole_cells(
        x - around, x + wide + around, width
    )


def _whole_cells(start: int, stop: int, length: int) -> slice:
    return slice(max(0, start // CELL_PX * CELL_PX), min(length, -(-stop // CELL_PX) * CELL_PX))


def _cells_wh(values: Floats) -> tuple[int, int]:
    return values.shape[1] // CELL_PX, values.shape[0] // CELL_PX


def _windows(values: Floats) -> Floats:
    """Means over the windows about each cell, [h / CELL_PX, w / CELL_PX, ...]."""
    cells = cv2.resize(values, _cells_wh(values), interpolation=cv2.INTER_AREA)
    side = 2 * WINDOW_CELLS + 1
    mean: Floats = cv2.blur(cells, (side, side), borderType=cv2.BORDER_REFLECT)
    return mean


def _neighbours(values: Floats) -> Floats:
    side = 2 * MEAN_CELLS + 1
    mean: Floats = cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)
    return mean


def _at(values: Floats, at: npt.NDArray[np.intp]) -> Floats:
    """[channels, N] of an array [h, w, channels]."""
    found: Floats = np.ascontiguousarray(values.reshape(-1, values.shape[2]).take(at, axis=0).T)
    return found


def _solved(squares: Floats, products: Floats, right: Floats) -> Floats:
    """x of S x = right, [3, N] each. S is symmetric: squares xx, yy, zz; products xy, yz, zx."""
    (xx, yy, zz), (xy, yz, zx) = squares, products
    cofactors = np.stack([yy * zz - yz * yz, zx * yz - xy * zz, xy * yz - zx * yy])
    a, b, c = cofactors
    d, e, f = xx * zz - zx * zx, xy * zx - xx * yz, xx * yy - xy * xy
    x, y, z = right
    determinant = xx * a + xy * b + zx * c
    solved: Floats = np.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z])
    solved /= determinant
    return solved
