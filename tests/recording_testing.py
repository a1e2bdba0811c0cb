"""Frames and mattes that carry their number, recordings read back, and targets that fail."""

from __future__ import annotations

import csv
import errno
import io
import threading
from pathlib import Path

import av
import cv2
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


def noise(seq: int, *, captured_ns: int) -> tuple[Frame, Matte]:
    """A frame and its matte that no codec makes small."""
    rng = np.random.default_rng(seq)
    info = FrameInfo(stream_id=5, seq=seq, pts_ns=0, captured_ns=captured_ns)
    alpha = rng.integers(0, 256, (*SIZE_HW, 1), np.uint8)
    matte = Matte(
        info=info, alpha=alpha, anchor_seq=seq, age_ms=0.0, confidence=(0.9,), prompts_version=1
    )
    return Frame(info=info, pixels=rng.integers(0, 256, (*SIZE_HW, 3), np.uint8)), matte


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


def read_folder(folder: Path) -> list[tuple[float, Pixels]]:
    """The same of a folder of PNG files."""
    with (folder / "times.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert sorted(path.name for path in folder.glob("*.png")) == [row["file"] for row in rows]
    pictures = [cv2.imread(str(folder / row["file"]), cv2.IMREAD_UNCHANGED) for row in rows]
    return [
        (float(row["time_s"]), cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA))
        for row, picture in zip(rows, pictures, strict=True)
    ]


def read_back(path: Path) -> list[tuple[float, Pixels]]:
    """Whichever it is."""
    return read_video(path) if path.suffix else read_folder(path)


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


class HungDisk:
    """Makes files on a disk that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._free = threading.Event()

    def create(self, path: Path) -> io.RawIOBase:
        """For a RecordingTarget."""
        return _HungFile(path, self)

    def let_go(self) -> None:
        """Writes go through from now on."""
        self._free.set()

    def wait(self) -> None:
        """Until it is let go."""
        self.asked.set()
        self._free.wait()


class _HungFile(io.FileIO):
    def __init__(self, path: Path, disk: HungDisk) -> None:
        super().__init__(path, "x")
        self._disk = disk

    def write(self, data: memoryview) -> int:
        self._disk.wait()
        return super().write(data)
