# ruff: noqa: N802, N815
"""TOPs. TOP Class. Pictures are float32 [h, w, 4] RGBA, the bottom row first."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cuda import CUDAMemory, bgra
from .errors import refuse
from .operators import OP
from .pixel_formats import LABELS, conform, stored
from .resampling import linear, nearest
from .session import current

FACTORS = {"eighth": 1 / 8, "quarter": 1 / 4, "half": 1 / 2, "2x": 2, "4x": 4, "8x": 8}


class TOP(OP):
    """An operator with a picture, or with none yet."""

    family = "TOP"

    def __init__(self, name: str, parent: Any) -> None:
        super().__init__(name, parent)
        self._picture: np.ndarray | None = None
        self._format = "rgba8fixed"
        self._downloading: np.ndarray | None = None

    def _input(self, index: int) -> np.ndarray | None:
        source: Any = self._wires.get(index)
        return None if source is None else source._picture

    def _set(
        self, picture: np.ndarray | None, pixel_format: str = "rgba8fixed", *, exact: bool = False
    ) -> None:
        """Takes a picture, in resolution and pixel format of the common page.

        pixel_format: the one of Use Input. exact: the picture is of that format already.
        """
        if picture is not None:
            chosen = self.par.format.eval()
            self._format = pixel_format if chosen == "useinput" else chosen
            sized = self._resized(picture)
            if not (exact and sized is picture and self._format == pixel_format):
                sized = conform(sized, self._format)
            picture = sized
            picture.flags.writeable = False
        self._picture = picture

    def _input_format(self, index: int = 0) -> str:
        source: Any = self._wires.get(index)
        return "rgba8fixed" if source is None else source._format

    def _resized(self, picture: np.ndarray) -> np.ndarray:
        height, width = self._size(*picture.shape[:2])
        filtering = self._slots["inputfiltertype"].val
        return (nearest if filtering == "nearest" else linear)(picture, height, width)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) by the common page."""
        choice = self.par.outputresolution.eval()
        if choice == "useinput":
            return height, width
        if choice in FACTORS:
            factor = FACTORS[choice]
            return max(1, round(height * factor)), max(1, round(width * factor))
        wanted_h, wanted_w = int(self.par.resolutionh), int(self.par.resolutionw)
        if choice == "custom":
            return wanted_h, wanted_w
        scale = min(wanted_w / width, wanted_h / height)
        scale = min(scale, 1.0) if choice == "limit" else scale
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _own_size(self) -> tuple[int, int]:
        """(height, width) of what has no input."""
        return int(self.par.resolutionh), int(self.par.resolutionw)

    # --- members

    @property
    def width(self) -> int:
        """Pixels across; 0 while there is no picture."""
        self._read()
        return 0 if self._picture is None else int(self._picture.shape[1])

    @property
    def height(self) -> int:
        """Pixels up; 0 while there is no picture."""
        self._read()
        return 0 if self._picture is None else int(self._picture.shape[0])

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.width / self.height

    depth = property(lambda top: 1)
    curPass = property(lambda top: 0)

    @property
    def pixelFormat(self) -> str:
        """The format as people read it."""
        self._read()
        return LABELS[self._format]

    @property
    def pixelFormatName(self) -> str:
        """The format as the menu names it; builds of 2025."""
        if current().build < 2025:
            raise AttributeError("pixelFormatName is there in builds of 2025")
        self._read()
        return self._format

    def numpyArray(self, delayed: bool = False, writable: bool = False) -> np.ndarray | None:
        """The picture, float32 [h, w, 4]; the memory is TouchDesigner's and good for this frame.

        delayed: the picture of the call before; None when there is none.
        """
        session = current()
        with session.inside():
            self._read()
            if not delayed:
                if self._picture is None:
                    refuse(f"{self._path()}.numpyArray(): the TOP has no picture (no input?)")
                return self._hand_out(self._picture)
            before, self._downloading = self._downloading, self._picture
            return None if before is None else self._hand_out(before)

    def _hand_out(self, picture: np.ndarray) -> np.ndarray:
        array = picture.copy()
        current().handed.append(array)
        return array

    def sample(
        self, x: int | None = None, y: int | None = None, z: int | None = None,
        u: float | None = None, v: float | None = None, w: float | None = None,
    ) -> tuple[float, ...]:  # fmt: skip
        """The colour at a place."""
        self._read()
        picture = self._picture
        if picture is None or (x is None and u is None) or (y is None and v is None):
            refuse(f"{self._path()}.sample(): expected a picture, and one place each way")
        height, width = picture.shape[:2]
        column = x if x is not None else min(int(u * width), width - 1)
        row = y if y is not None else min(int(v * height), height - 1)
        return tuple(float(value) for value in picture[row, column])

    def cudaMemory(self, stream: int | None = None) -> CUDAMemory:
        """A copy of the picture in CUDA memory: uint8 as BGRA, all else as RGBA."""
        session = current()
        if not session.cuda:
            refuse(f"{self._path()}.cudaMemory(): no CUDA here")
        with session.inside():
            self._read()
            if self._picture is None:
                refuse(f"{self._path()}.cudaMemory(): the TOP has no picture")
            return CUDAMemory(bgra(stored(self._picture, self._format)))
