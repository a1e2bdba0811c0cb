"""The brightness of a frame at the three sizes the matte loop needs, computed once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.frame import Frame, FrameInfo

MIN_SIDE_PX = 16
"""OpenCV's DIS flow refuses pictures under 12 pixels."""

THUMBNAIL_HW = (36, 64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Luma:
    """uint8 brightness. full: [H, W] as the frame; small: [h, w] for motion;
    thumbnail: [36, 64] for comparing pictures."""

    info: FrameInfo
    full: npt.NDArray[np.uint8]
    small: npt.NDArray[np.uint8]
    thumbnail: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, frame: Frame, long_side_px: int) -> Luma:
        """The luma of an rgb8 frame, small at most long_side_px on its longer side."""
        full = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
        height, width = small_size_hw(frame.size_hw, long_side_px)
        small = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA)
        return cls(info=frame.info, full=full, small=small, thumbnail=_shrunk(small))


def small_size_hw(size_hw: tuple[int, int], long_side_px: int) -> tuple[int, int]:
    """The size of the picture that motion is measured on: never larger than the frame,
    except that neither side goes under MIN_SIDE_PX."""
    scale = min(1.0, long_side_px / max(size_hw))
    return (
        max(MIN_SIDE_PX, round(size_hw[0] * scale)),
        max(MIN_SIDE_PX, round(size_hw[1] * scale)),
    )


def thumbnail_of(frame: Frame) -> npt.NDArray[np.uint8]:
    """The [36, 64] uint8 brightness of an rgb8 frame, alone."""
    thumbnail: npt.NDArray[np.uint8] = cv2.cvtColor(_shrunk(frame.pixels), cv2.COLOR_RGB2GRAY)
    return thumbnail


def _shrunk(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    height, width = THUMBNAIL_HW
    shrunk: npt.NDArray[np.uint8] = cv2.resize(
        pixels, (width, height), interpolation=cv2.INTER_AREA
    )
    return shrunk
