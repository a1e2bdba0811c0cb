"""The one conversion of frames to rgb8, which flow and models work on."""

from __future__ import annotations

import cv2
import numpy as np

from promptmatte.frame import Frame, PixelFormat


def as_rgb8(frame: Frame) -> Frame:
    """The frame as uint8 [H, W, 3] under the same info; an rgb8 frame itself, not a copy.

    Alpha is dropped. Float channels are clipped to 0..1 and rounded; NaN becomes 0.
    """
    pixels = frame.pixels
    match frame.format:
        case PixelFormat.RGB8:
            return frame
        case PixelFormat.GRAY8:
            rgb = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
        case PixelFormat.RGBA8:
            rgb = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
        case PixelFormat.RGBA16F | PixelFormat.RGBA32F:
            levels = pixels[..., :3].astype(np.float32)
            np.fmin(np.fmax(levels, 0, out=levels), 1, out=levels)  # these pass over NaN
            rgb = (levels * 255 + 0.5).astype(np.uint8)
    return Frame(info=frame.info, pixels=rgb)
