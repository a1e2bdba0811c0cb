"""Numbered PNG files in a folder of their own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

TIMES = "times.csv"
COMPRESSION = 1
"""Of 0 to 9: the fastest that compresses."""


class PngSequence:
    """Writes RGBA pictures as 000000.png and so on, with the time of each in times.csv.

    A picture is there whole or not at all, and only then its line in times.csv.
    """

    def __init__(self, folder: Path, *, size_hw: tuple[int, int]) -> None:
        self.size_hw = size_hw
        self._folder = folder
        self._count = 0
        self._bgra = np.empty((*size_hw, 4), np.uint8)
        self._times = (folder / TIMES).open("x", buffering=1, encoding="utf-8", newline="\n")
        self._times.write("file,time_s\n")

    def write(self, rgba: npt.NDArray[np.uint8], pts_ns: int) -> None:
        """Adds a picture uint8 [H, W, 4]."""
        cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA, dst=self._bgra)
        packed = cv2.imencode(".png", self._bgra, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])[1]
        path = self._folder / f"{self._count:06d}.png"
        partial = path.with_suffix(".part")
        try:
            partial.write_bytes(packed.data)
            partial.rename(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        self._times.write(f"{path.name},{pts_ns / 1e9:.6f}\n")
        self._count += 1

    def close(self) -> None:
        """Closes times.csv."""
        self._times.close()

    def abandon(self) -> None:
        """Leaves the folder as it is; safe to call twice."""
        with suppress(OSError):
            self._times.close()
