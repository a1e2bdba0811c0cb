"""Masks as they are shown: noise smoothed along the motion, new anchors let in gradually."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.matte.propagation import Field, carried

Mask = npt.NDArray[np.float32]

NOISE = 0.3
"""Difference to the frame before up to which it is smoothed in full; a full one is not."""

SMOOTHED = 1.4
"""Share of the frame before at smoothing 1, never above MOST; half of it at the default."""

MOST = 0.95

ARRIVAL = (1.0, 0.5)
"""Share of the frame before in the first frames of a new anchor, at smoothing 1: what jumps
there is let in over three frames, which halves the flicker of the first one."""


class Steadier:
    """What was shown last, carried along; one per stream, used from one thread.

    The tracking goes on from masks that are not steadied: a delayed mask would be carried on
    as if it were true. On davis_tennis this takes 0.01 of overlap and a fifth of the flicker.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets; the next masks are shown as they are."""
        self._shown: Mask | None = None
        self._arrived = len(ARRIVAL)

    def anchor(self) -> None:
        """A new anchor has been taken."""
        self._arrived = 0

    def steadied(self, masks: Mask, way: Field, smoothing: Sequence[float]) -> Mask:
        """The masks to show, float32 [P, h, w], 0 to 1: a new array, or the masks themselves.

        way: [h, w, 2], where in the frame before each pixel comes from. smoothing: 0 to 1 for
        each mask; 0 leaves it as it is.
        """
        before = self._shown
        if before is None or before.shape != masks.shape or not any(smoothing):
            shown = masks
        else:
            least = ARRIVAL[self._arrived] if self._arrived < len(ARRIVAL) else 0.0
            before = carried(before, way)
            shown = np.stack(
                [_mixed(*pair, least) for pair in zip(masks, before, smoothing, strict=True)]
            )
        self._shown, self._arrived = shown, self._arrived + 1
        return shown


def _mixed(mask: Mask, before: Mask, smoothing: float, least: float) -> Mask:
    """The mask and a share of the one before, the more the less the two differ."""
    most = min(MOST, SMOOTHED * smoothing)
    share = cv2.absdiff(before, mask)
    share -= 1
    share *= -most / (1 - NOISE)
    np.clip(share, least * smoothing, most, out=share)
    difference = cv2.subtract(before, mask)
    cv2.multiply(difference, share, dst=difference)
    mixed: Mask = cv2.add(mask, difference, dst=difference)
    return mixed
