"""Pictures between TouchDesigner (float32, rows bottom-up) and the links (uint8, top-down)."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_BLOCK_VALUES = 1 << 16
"""Values converted at once: the scratch of 256 KiB stays in the processor's cache."""


class BytesPool:
    """Arrays that are used again as soon as nobody holds them, so that a steady stream of
    pictures of one size allocates nothing. From any thread."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._free: list[Bytes] = []

    def take(self, shape: tuple[int, ...]) -> Bytes:
        """An uint8 array of this shape with any content, its own as long as it is held.

        Hold the array itself: a view of it does not keep it.
        """
        if shape != self._shape:
            self._shape, self._free = shape, []
        free = self._free
        buffer = free.pop() if free else np.empty(shape, np.uint8)
        lent = buffer.view()
        weakref.finalize(lent, free.append, buffer).atexit = False
        return lent


class FloatsToBytes:
    """float32 0..1 to uint8 0..255, rounded; beyond that clipped, NaN to 0. One thread."""

    def __init__(self) -> None:
        self._scratch = np.empty(_BLOCK_VALUES, np.float32)

    def convert(self, floats: npt.NDArray[np.float32], out: Bytes) -> None:
        """Writes floats [h, w, c] into out [h, w, c], uint8; rows stay in their order."""
        row_values = floats[0].size
        if row_values > self._scratch.size:
            self._scratch = np.empty(row_values, np.float32)
        rows = self._scratch.size // row_values
        for top in range(0, len(floats), rows):
            block = floats[top : top + rows]
            levels = self._scratch[: block.size].reshape(block.shape)
            np.multiply(block, 255.0, out=levels)
            np.add(levels, 0.5, out=levels)
            np.fmax(levels, 0.0, out=levels)  # passes over NaN
            np.fmin(levels, 255.0, out=levels)
            np.copyto(out[top : top + rows], levels, casting="unsafe")


def opaque(picture: Bytes, out: Bytes) -> None:
    """Writes a picture [h, w, 3] into out [h, w, 4] with full alpha."""
    out[..., :3] = picture
    out[..., 3] = 255


def upright(flipped: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same pixels with rows the other way round: a view."""
    return flipped[::-1]
