"""What the demo's reader keeps of each matte, in a file of records of one size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte_shm import Matte

PANEL_WIDTH_PX = 480

Records = npt.NDArray[np.void]
"""Fields: seq, pts_ns, age_ms, confidence, alpha uint8 [panel h, w], and solid: the bits
of alpha >= 128 at full size, packed."""


def panel_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    """The size of one panel of the demo's pictures: at most PANEL_WIDTH_PX wide, even."""
    scale = min(1.0, PANEL_WIDTH_PX / size_hw[1])
    height, width = (max(16, round(side * scale / 2) * 2) for side in size_hw)
    return height, width


def shrunk(picture: npt.NDArray[np.uint8], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The picture [h, w] or [h, w, C] at another, smaller size."""
    small: npt.NDArray[np.uint8] = cv2.resize(
        picture, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_AREA
    )
    return small


def record_dtype(size_hw: tuple[int, int]) -> np.dtype[np.void]:
    """The record of a matte of this size."""
    return np.dtype(
        [
            ("seq", "<i8"),
            ("pts_ns", "<i8"),
            ("age_ms", "<f4"),
            ("confidence", "<f4"),
            ("alpha", "u1", panel_hw(size_hw)),
            ("solid", "u1", (-(-size_hw[0] * size_hw[1] // 8),)),
        ]
    )


def record_of(matte: Matte) -> bytes:
    """The record of the first prompt of a uint8 matte."""
    alpha: npt.NDArray[Any] = matte.alpha[..., 0]
    record = np.zeros((), record_dtype(matte.size_hw))
    record["seq"] = matte.info.seq
    record["pts_ns"] = matte.info.pts_ns
    record["age_ms"] = matte.age_ms
    record["confidence"] = matte.confidence[0] if matte.confidence else 0.0
    record["alpha"] = shrunk(alpha, panel_hw(matte.size_hw))
    record["solid"] = np.packbits(alpha >= 128)
    return record.tobytes()


def solid_of(record: np.void, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels [H, W] that the matte covers at least by half."""
    bits = np.unpackbits(record["solid"], count=size_hw[0] * size_hw[1])
    return bits.reshape(size_hw).astype(np.bool_)


def read_records(path: Path, size_hw: tuple[int, int]) -> Records:
    """The records of a file, mapped, not read."""
    return np.memmap(path, record_dtype(size_hw), mode="r")
