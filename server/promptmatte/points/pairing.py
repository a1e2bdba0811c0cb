"""Which matte belongs to which XYZ frame."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from promptmatte.frame import Frame, Matte

KEPT = 12
"""Frames and mattes that wait for each other, of each kind: a matte may come 0.4 s after the
capture at 30 frames a second. At 1280x720 the frames take 190 MB."""


class Pair(NamedTuple):
    """An XYZ frame and its matte."""

    xyz: Frame
    matte: Matte


class Pairing:
    """Finds the matte of each XYZ frame: that of the same stream_id and seq or, if there is none,
    the one captured nearest to it.

    Keeps the frames and mattes themselves, the newest KEPT of each, without a copy. paired,
    overtaken and unpaired count XYZ frames: overtaken ones had a newer one paired first, unpaired
    ones left without a matte. nearest_ns: how far the nearest matte of the last unpaired one was,
    None if there was no matte at all.
    """

    def __init__(self, *, apart_ns: int) -> None:
        """apart_ns: the longest time between the captures of a pair of different numbers."""
        self._apart_ns = apart_ns
        self._xyz: deque[Frame] = deque()
        self._mattes: deque[Matte] = deque(maxlen=KEPT)
        self.paired = 0
        self.overtaken = 0
        self.unpaired = 0
        self.nearest_ns: int | None = None

    def add_matte(self, matte: Matte) -> None:
        """Takes the next matte, in place of the oldest one."""
        self._mattes.append(matte)

    def add_xyz(self, frame: Frame) -> None:
        """Takes the next XYZ frame, in place of the oldest one if KEPT wait."""
        if len(self._xyz) == KEPT:
            self._give_up(self._xyz.popleft())
        self._xyz.append(frame)

    def newest(self) -> Pair | None:
        """The newest XYZ frame whose matte is known, once; older ones are passed over.

        Known is a matte of the same number at once, and the nearest one when a matte of the
        frame's time or later has come.
        """
        for index in reversed(range(len(self._xyz))):
            xyz = self._xyz[index]
            matte = self._matte_of(xyz)
            if matte is not None:
                for _ in range(index + 1):
                    self._xyz.popleft()
                self.paired += 1
                self.overtaken += index
                return Pair(xyz, matte)
        return None

    def _matte_of(self, xyz: Frame) -> Matte | None:
        own = (xyz.info.stream_id, xyz.info.seq)
        for matte in reversed(self._mattes):
            if (matte.info.stream_id, matte.info.seq) == own:
                return matte
        nearest = self._nearest(xyz)
        if nearest is None or _apart_ns(nearest, xyz) > self._apart_ns:
            return None
        passed = self._mattes[-1].info.captured_ns >= xyz.info.captured_ns
        return nearest if passed else None

    def _nearest(self, xyz: Frame) -> Matte | None:
        return min(self._mattes, key=lambda matte: _apart_ns(matte, xyz), default=None)

    def _give_up(self, xyz: Frame) -> None:
        nearest = self._nearest(xyz)
        self.unpaired += 1
        self.nearest_ns = None if nearest is None else _apart_ns(nearest, xyz)


def _apart_ns(matte: Matte, xyz: Frame) -> int:
    return abs(matte.info.captured_ns - xyz.info.captured_ns)
