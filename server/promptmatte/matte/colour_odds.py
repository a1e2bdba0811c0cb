"""How much a colour speaks for a thing, learned from one frame and its mask."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

BINS = 16
"""Steps of red, green and blue."""


class ColourOdds:
    """The colours of a thing against those of its surroundings, as two histograms.

    picture: uint8 [h, w, 3]; mask: float32 [h, w], 0 to 1.
    """

    def __init__(self, picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.float32]) -> None:
        colours = colour_index(picture).ravel()
        weights = mask.ravel()
        inside = _smoothed(np.bincount(colours, weights, BINS**3).astype(float))
        outside = _smoothed(np.bincount(colours, 1 - weights, BINS**3).astype(float))
        inside /= max(1.0, float(weights.sum()))
        outside /= max(1.0, float((1 - weights).sum()))
        self._odds = ((inside - outside) / (inside + outside + 2e-5)).astype(np.float32)

    def of(self, index: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
        """-1 (a colour of the surroundings only) to 1 (of the thing only), for the index of
        each pixel; 0 where both are as likely or the colour is new."""
        return self._odds[index]


def colour_index(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """The colour bin [h, w] of each pixel of a uint8 [h, w, 3] picture."""
    red, green, blue = cv2.split(picture)
    index: npt.NDArray[np.uint16] = (red >> 4).astype(np.uint16) << 8
    index |= green & 0xF0
    index |= blue >> 4
    return index


def _smoothed(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Counts shared with the neighbouring bins, so that noise and light may shift a colour."""
    cube = counts.reshape(BINS, BINS, BINS)
    for axis in range(3):
        padded = np.pad(cube, [(1, 1) if a == axis else (0, 0) for a in range(3)], "edge")
        before, after = np.moveaxis(padded, axis, 0)[:-2], np.moveaxis(padded, axis, 0)[2:]
        cube = 0.5 * cube + 0.25 * (np.moveaxis(before, 0, axis) + np.moveaxis(after, 0, axis))
    return cube.ravel()
