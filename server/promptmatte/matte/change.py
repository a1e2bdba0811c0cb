"""How much two pictures differ, judged on their thumbnails."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

STATIC_LEVELS = 5
"""Largest change of any thumbnail cell that still counts as noise: a cell averages at
least a hundred pixels, so camera noise of 8 levels stays under 3."""

CUT_LEVELS = 28.0
"""Mean change, brightness as a whole left out, from which it is another scene."""


def is_static(thumbnail: npt.NDArray[np.uint8], earlier: npt.NDArray[np.uint8]) -> bool:
    """True when no part of the picture has changed: even a small moving thing counts."""
    return int(np.abs(_difference(thumbnail, earlier)).max()) <= STATIC_LEVELS


def is_cut(thumbnail: npt.NDArray[np.uint8], earlier: npt.NDArray[np.uint8]) -> bool:
    """True when it is another scene; a flash or a fade of the whole picture is none."""
    difference = _difference(thumbnail, earlier)
    return float(np.abs(difference - difference.mean()).mean()) >= CUT_LEVELS


def _difference(
    thumbnail: npt.NDArray[np.uint8], earlier: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int16]:
    return thumbnail.astype(np.int16) - earlier
