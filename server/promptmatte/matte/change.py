"""How much two pictures differ, judged on their thumbnails."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

STATIC_LEVELS = 5
"""Largest change of any thumbnail cell that still counts as noise: a cell averages at
least a hundred pixels, so camera noise of 8 levels stays under 3."""

CUT_LEVELS = 28.0
"""Mean change, brightness as a whole left out, from which it may be another scene."""

UNEXPLAINED_LEVELS = 17.0
"""Mean change, brightness and contrast left out, from which it is one; strobe stays below."""

SHIFTED_SHARE = 0.47
"""Peak of the phase correlation from which a picture is the other one, shifted: 99 of 100
pairs of unrelated photographs stay below, and 99 of 100 frames in hard motion above."""

BLIND_LEVELS = 3.0
"""Standard deviation under which a picture shows nothing: lights out, a flash, a cap."""


def is_static(thumbnail: npt.NDArray[np.uint8], earlier: npt.NDArray[np.uint8]) -> bool:
    """True when no part of the picture has changed: even a small moving thing counts."""
    return int(np.abs(_difference(thumbnail, earlier)).max()) <= STATIC_LEVELS


def is_cut(thumbnail: npt.NDArray[np.uint8], earlier: npt.NDArray[np.uint8]) -> bool:
    """True when it is another scene; a flash, a fade, strobe or a swift pan is none."""
    difference = _difference(thumbnail, earlier)
    if float(np.abs(difference - difference.mean()).mean()) < CUT_LEVELS:
        return False
    if _unexplained(thumbnail, earlier) < UNEXPLAINED_LEVELS:
        return False
    return _shifted_share(thumbnail, earlier) < SHIFTED_SHARE


def is_blind(thumbnail: npt.NDArray[np.uint8]) -> bool:
    """True when nothing can be made out: no motion can be measured to or from it."""
    return float(thumbnail.std()) < BLIND_LEVELS


def _unexplained(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Mean difference of the stronger picture to what a change of light makes of the weaker."""
    weak, strong = sorted((one - one.mean(), other - other.mean()), key=np.std)
    gain = (weak * strong).sum() / max(1.0, float((weak * weak).sum()))
    return float(np.abs(strong - gain * weak).mean())


def _shifted_share(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """The peak of the phase correlation (Kuglin and Hines 1975), 1 for the same picture."""
    height, width = one.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    _, peak = cv2.phaseCorrelate(one.astype(np.float32), other.astype(np.float32), window)
    return float(peak)


def _difference(
    thumbnail: npt.NDArray[np.uint8], earlier: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int16]:
    return thumbnail.astype(np.int16) - earlier
