"""Parts of a mask that stand alone and are hardly believed in."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]

FAINT_SHARE = 0.5
"""A part whose strongest logit stays under this share of the whole's strongest is left out."""

BORDER = np.ones((5, 5), np.uint8)
NOWHERE = -12.0


def without_faint_parts(logits: Logits) -> Logits:
    """The logits [h, w] without the connected parts above 0 that are faint beside the strongest.

    Hysteresis as in Canny 1986, its upper threshold relative to what the picture offers: patches
    of background that look a little like the thing go, while a second person stays.
    """
    count, labels = cv2.connectedComponents((logits > 0).astype(np.uint8))
    if count <= 2:  # the first is what is outside of all parts
        return logits
    strongest = np.zeros(count, np.float32)
    np.maximum.at(strongest, labels.ravel(), logits.ravel())
    faint = strongest < FAINT_SHARE * strongest.max()
    faint[0] = False
    if not faint.any():
        return logits
    dropped = cv2.dilate(faint[labels].astype(np.uint8), BORDER) > 0
    kept = (labels > 0) & ~faint[labels]
    return np.where(dropped & ~kept, np.minimum(logits, NOWHERE), logits)
