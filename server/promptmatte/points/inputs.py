"""What the live points read: mattes of a server, XYZ frames of whoever sends them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from promptmatte.frame import Frame, Matte
from promptmatte.links.protocol import ClientLink, ServerLink
from promptmatte.links.shm import ShmClientLink, ShmServerLink
from promptmatte.points.pairing import KEPT

Pixels = npt.NDArray[Any]


class Turns:
    """Arrays to read pictures into, in turn: one is read over when KEPT newer ones were read.

    They are made anew when the pictures change their shape.
    """

    def __init__(self) -> None:
        self._arrays: list[Pixels] = []
        self._next = 0

    def next(self) -> Pixels | None:
        """Where to read the next picture; None before the first one."""
        return self._arrays[self._next] if self._arrays else None

    def read(self, pixels: npt.NDArray[np.generic]) -> None:
        """Takes note of the picture that was read, there or, as that did not fit, elsewhere."""
        place = self.next()
        if place is None or (place.shape, place.dtype) != (pixels.shape, pixels.dtype):
            self._arrays = [np.empty(pixels.shape, pixels.dtype) for _ in range(KEPT + 1)]
            self._next = 0
        else:
            self._next = (self._next + 1) % len(self._arrays)


class MatteInput:
    """The mattes of a link; those of shared memory are good until KEPT newer ones are read."""

    def __init__(self, link: ClientLink, *, with_fill: bool) -> None:
        self._link = link
        self._with_fill = with_fill
        self._alphas, self._fills = Turns(), Turns()

    def read(self, timeout_s: float) -> Matte | None:
        """The newest unseen matte; None when none came in time."""
        if not isinstance(self._link, ShmClientLink):
            return self._link.latest_matte(timeout_s, with_fill=self._with_fill)
        matte = self._link.latest_matte(
            timeout_s,
            with_fill=self._with_fill,
            out=self._alphas.next(),
            fill_out=self._fills.next(),
        )
        if matte is not None:
            self._alphas.read(matte.alpha)
            if matte.fill is not None:
                self._fills.read(matte.fill)
        return matte


class XyzInput:
    """The frames that others send over a link; those of shared memory are good until KEPT newer
    ones are read."""

    def __init__(self, link: ServerLink) -> None:
        self._link = link
        self._turns = Turns()

    def read(self) -> Frame | None:
        """The newest unseen frame, if there is one."""
        if not isinstance(self._link, ShmServerLink):
            return self._link.latest_frame()
        frame = self._link.latest_frame(out=self._turns.next())
        if frame is not None:
            self._turns.read(frame.pixels)
        return frame
