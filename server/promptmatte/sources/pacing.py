"""When a frame is due, and the identity it gets when it is."""

from __future__ import annotations

import secrets

import numpy as np
import numpy.typing as npt

from promptmatte.clock import Clock
from promptmatte.frame import Frame, FrameInfo

MAX_LAG_S = 0.5
"""A source this late starts its schedule anew rather than rush to catch up."""


class Pacer:
    """Plays media time in real time: the first frame is due at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_ns: int | None = None

    def wait_until_due(self, pts_ns: int, timeout_s: float) -> bool:
        """Waits for the frame's time, at most `timeout_s`; False when it has not come."""
        if self._start_ns is None:
            self._start_ns = self._clock.now_ns() - pts_ns
        early_s = (self._start_ns + pts_ns - self._clock.now_ns()) / 1e9
        if early_s > 0:
            self._clock.sleep_s(min(early_s, max(timeout_s, 0.0)))
            return self._clock.now_ns() >= self._start_ns + pts_ns
        if early_s < -MAX_LAG_S:
            self._start_ns = self._clock.now_ns() - pts_ns
        return True


class Stamper:
    """Gives the frames of one opened source their identity."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stream_id = secrets.randbits(63)
        self.seq = 0

    def frame(
        self, pixels: npt.NDArray[np.generic], pts_ns: int, captured_ns: int | None = None
    ) -> Frame:
        """The next frame of the stream; captured now unless told otherwise."""
        info = FrameInfo(
            stream_id=self._stream_id,
            seq=self.seq,
            pts_ns=pts_ns,
            captured_ns=self._clock.now_ns() if captured_ns is None else captured_ns,
        )
        self.seq += 1
        return Frame(info=info, pixels=pixels)
