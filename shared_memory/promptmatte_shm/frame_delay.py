"""The frames a program sent, until their mattes come back."""

from __future__ import annotations

from promptmatte_shm.errors import ShmError
from promptmatte_shm.frame import Frame, FrameInfo, Matte


class FrameDelay:
    """Keeps the newest frames a program sent, so that each is shown with its own matte.

    For a compositor that has its picture already and does not want it back as the fill.
    Keeps the frames themselves, without a copy: their pixels must not be drawn over. One
    thread may put while another asks.
    """

    def __init__(self, frame_count: int = 8) -> None:
        """frame_count: how many to keep, at least the longest delay of a matte in frames.
        ShmError if it is not positive."""
        if frame_count < 1:
            raise ShmError(f"expected room for at least 1 frame; got {frame_count}")
        self._frame_count = frame_count
        self._frames: dict[FrameInfo, Frame] = {}
        self.misses = 0
        """Mattes whose frame was no longer, or never, there."""

    def put(self, frame: Frame) -> None:
        """Keeps the frame in place of the oldest one."""
        self._frames.pop(frame.info, None)
        self._frames[frame.info] = frame
        if len(self._frames) > self._frame_count:
            del self._frames[next(iter(self._frames))]

    def of(self, matte: Matte) -> Frame | None:
        """The very frame this matte was made of; None, and a miss, when it is not there."""
        frame = self._frames.get(matte.info)
        if frame is None:
            self.misses += 1
        return frame
