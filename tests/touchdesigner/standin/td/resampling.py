"""Pictures in another size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=64)
def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lower index, upper index, weight of the upper) of each target pixel, by pixel centres."""
    places = (np.arange(target) + 0.5) * source / target - 0.5
    low = np.floor(places).astype(np.intp)
    weight = (places - low).astype(np.float32)
    return np.clip(low, 0, source - 1), np.clip(low + 1, 0, source - 1), weight


def linear(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 [height, width, c], interpolated between pixels."""
    if picture.shape[:2] == (height, width):
        return picture
    low, high, weight = _taps(picture.shape[0], height)
    weight = weight[:, None, None]
    rows = picture[low] * (1 - weight) + picture[high] * weight
    low, high, weight = _taps(picture.shape[1], width)
    weight = weight[None, :, None]
    out = rows[:, low] * (1 - weight) + rows[:, high] * weight
    return np.ascontiguousarray(out, np.float32)


def nearest(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same of nearest pixels."""
    if picture.shape[:2] == (height, width):
        return picture
    rows = (np.arange(height) + 0.5) * picture.shape[0] / height
    columns = (np.arange(width) + 0.5) * picture.shape[1] / width
    return np.ascontiguousarray(picture[rows.astype(np.intp)][:, columns.astype(np.intp)])
