"""What of a frame and its matte is recorded."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.frame import Frame, Matte
from promptmatte.matte.masks import widest

Pixels = npt.NDArray[np.uint8]
Painter = Callable[[Frame, Matte, Pixels], None]
"""Paints a frame and its matte into a picture, uint8 [H, W, 4] of the frame's size."""


def paint_cut_out(frame: Frame, matte: Matte, rgba: Pixels) -> None:
    """The frame's own picture, rgb8; its alpha, straight, is that of all prompts together."""
    places = [0, 0, 1, 1, 2, 2, 3, 3]
    cv2.mixChannels([np.asarray(frame.pixels), widest(matte.alpha)], [rgba], places)


def paint_matte(frame: Frame, matte: Matte, rgba: Pixels) -> None:  # noqa: ARG001  a Painter
    """The alpha of one prompt as grey, of two to four as red, green, blue and alpha; the
    picture is opaque unless there are four."""
    alpha = np.asarray(matte.alpha)
    places = [0, 0, 1, 1, 2, 2, 3, 3] if alpha.shape[2] == 4 else [0, 0, 0, 1, 0, 2]
    cv2.mixChannels([alpha], [rgba], places)
    if len(matte.confidence) < 4:
        rgba[..., 3] = 255


PAINTERS: dict[str, Painter] = {"rgba": paint_cut_out, "matte": paint_matte}
"""By the name that --record-what has for it."""
