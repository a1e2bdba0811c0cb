"""Pictures that both sides make from a seed, and the checksum by which they are compared."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from promptmatte_shm import PixelFormat

FINITE_MASK = 0x3F
"""Kept of every byte of a float format: no pattern of such bytes is infinite or no number."""


def pattern(height: int, width: int, pixel_format: PixelFormat, seed: int) -> npt.NDArray[Any]:
    """The picture of this seed, [H, W, C].

    Byte i of row y is (seed + 3 i + 11 y + (i y >> 4)) & 255, and & 63 too in a float format:
    it differs where rows or channels are exchanged.
    """
    i = np.arange(width * pixel_format.channels * pixel_format.dtype.itemsize, dtype=np.int64)
    y = np.arange(height, dtype=np.int64)[:, None]
    values = ((seed + 3 * i + 11 * y + (i * y >> 4)) & 255).astype(np.uint8)
    if pixel_format.dtype.kind == "f":
        values &= FINITE_MASK
    return values.view(pixel_format.dtype).reshape(height, width, pixel_format.channels)


def crc_of(pixels: npt.NDArray[Any]) -> int:
    """The crc32 of the pixels' bytes, rows top-down."""
    return zlib.crc32(np.ascontiguousarray(pixels).tobytes())


def likeness(crc: object, wanted: npt.NDArray[Any]) -> str:
    """What pixels of this checksum are, compared with the wanted ones."""
    swapped = wanted if wanted.shape[2] < 3 else wanted[..., [2, 1, 0, 3][: wanted.shape[2]]]
    looks = {
        "the picture": wanted,
        "the picture with its rows bottom-up": wanted[::-1],
        "the picture with red and blue exchanged": swapped,
        "zeros": np.zeros_like(wanted),
    }
    for name, look in looks.items():
        if crc_of(look) == crc:
            return name
    return f"other bytes (crc32 {crc!r})"
