"""What the tests of the sources share: a simulated clock and small real videos."""

from __future__ import annotations

import time
from pathlib import Path

import av
import numpy as np
from promptmatte.errors import PromptMatteError
from promptmatte.frame import Frame
from promptmatte.sources.protocol import Source

LEVEL_STEP = 10


class SimulatedClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time_ns = 1_000_000_000

    def now_ns(self) -> int:
        return self.time_ns

    def sleep_s(self, seconds: float) -> None:
        assert seconds >= 0
        self.time_ns += round(seconds * 1e9)


def write_video(
    path: Path, frames: int = 12, *, fps: int = 25, codec: str = "mpeg4", rotation: int = 0
) -> Path:
    """A 64x48 video: frame i < 25 is i * LEVEL_STEP grey with a white top-left corner."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate, stream.gop_size = 2_000_000, 4
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(frames):
            pixels = np.full((48, 64, 3), index * LEVEL_STEP % 250, np.uint8)
            pixels[:16, :16] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return path


def index_of(frame: Frame) -> int:
    """Which frame of a `write_video` file this is, from its pixels."""
    return round(float(frame.pixels[20:28, 20:28].mean()) / LEVEL_STEP)


def read_next(source: Source, deadline_s: float = 20.0) -> Frame:
    """The next frame, with a generous deadline of real time."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        frame = source.read(0.25)
        if frame is not None:
            return frame
    raise AssertionError(f"{source.name} gave no frame in {deadline_s} s")


def play_out(source: Source, deadline_s: float = 60.0) -> tuple[list[Frame], PromptMatteError]:
    """All frames to the end of the source, and the error that ended it."""
    frames: list[Frame] = []
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        try:
            frame = source.read(0.25)
        except PromptMatteError as error:
            return frames, error
        if frame is not None:
            frames.append(frame)
    raise AssertionError(f"{source.name} did not end in {deadline_s} s")
