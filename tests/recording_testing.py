"""Frames and mattes that no codec makes small, recordings read back, and a disk that hangs."""

from __future__ import annotations

import csv
import io
import threading
from pathlib import Path

import cv2
import numpy as np
from promptmatte.frame import Frame, FrameInfo, Matte

from benchmarks.faults.recorded import SIZE_HW, Pixels, read_video


def noise(seq: int, *, captured_ns: int) -> tuple[Frame, Matte]:
    """A frame and its matte that no codec makes small."""
    rng = np.random.default_rng(seq)
    info = FrameInfo(stream_id=5, seq=seq, pts_ns=0, captured_ns=captured_ns)
    alpha = rng.integers(0, 256, (*SIZE_HW, 1), np.uint8)
    matte = Matte(
        info=info, alpha=alpha, anchor_seq=seq, age_ms=0.0, confidence=(0.9,), prompts_version=1
    )
    return Frame(info=info, pixels=rng.integers(0, 256, (*SIZE_HW, 3), np.uint8)), matte


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
