"""Pictures to be recorded that carry their number, recordings read back, a disk that gets full."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from promptmatte.frame import Frame, FrameInfo, Matte

SIZE_HW = (64, 128)
BITS, SIDE = 8, 16
DECODERS = {".mov": "prores", ".webm": "libvpx-vp9"}

Pixels = npt.NDArray[np.uint8]


def numbered(seq: int, size_hw: tuple[int, int] = SIZE_HW) -> Pixels:
    """A ramp with the lowest 8 bits of seq as white and black squares in its upper corner."""
    ramp = np.linspace(60, 190, size_hw[1]).astype(np.uint8)
    plane = np.repeat(ramp[np.newaxis], size_hw[0], axis=0)
    for bit in range(BITS):
        plane[:SIDE, bit * SIDE : (bit + 1) * SIDE] = 255 * (seq >> bit & 1)
    return plane


def number_in(plane: npt.NDArray[np.generic]) -> int:
    """The number that `numbered` drew."""
    squares = plane[2 : SIDE - 2, : BITS * SIDE].reshape(-1, BITS, SIDE)[..., 3:-3]
    return sum(int(squares[:, bit].mean() > 127) << bit for bit in range(BITS))


def pair(
    seq: int, *, captured_ns: int, size_hw: tuple[int, int] = SIZE_HW, prompts: int = 1
) -> tuple[Frame, Matte]:
    """A frame and its matte: seq is in the picture and in the alpha of every prompt."""
    info = FrameInfo(stream_id=5, seq=seq, pts_ns=0, captured_ns=captured_ns)
    plane = numbered(seq, size_hw)
    alpha = np.zeros((*size_hw, 1 if prompts == 1 else 4), np.uint8)
    for channel in range(prompts):
        alpha[..., channel] = np.roll(plane, 20 * channel, axis=0)
    colours = np.dstack([plane, plane // 2, 255 - plane])
    matte = Matte(
        info=info, alpha=alpha, anchor_seq=seq, age_ms=0.0, confidence=(0.9,) * prompts,
        prompts_version=1,
    )  # fmt: skip
    return Frame(info=info, pixels=colours), matte


def read_video(path: Path) -> list[tuple[float, Pixels]]:
    """Times in seconds and RGBA pictures of a file, as far as it can be read."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(DECODERS[path.suffix], "r")
        context.extradata = stream.codec_context.extradata
        frames = []
        try:
            for packet in container.demux(stream):
                frames += context.decode(packet if packet.size else None)
        except (av.InvalidDataError, av.EOFError):  # cut off in a fragment
            frames += context.decode(None)
        return [
            (float(frame.pts * stream.time_base), frame.to_ndarray(format="rgba"))
            for frame in frames
        ]


class SmallDisk(io.FileIO):
    """A new file on a disk that is full after so many bytes, in the middle of a write."""

    def __init__(self, path: Path, room_bytes: int) -> None:
        super().__init__(path, "x")
        self._room_bytes = room_bytes

    def write(self, data: memoryview) -> int:
        fitting = data[: max(0, self._room_bytes - self.tell())]
        if not fitting:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(fitting)
