"""What the link tests share: free addresses, child processes, pictures, and waiting."""

import contextlib
import queue
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from promptmatte.frame import Frame, FrameInfo, Matte, PixelFormat

T = TypeVar("T")
PATIENCE_S = 30.0


def free_zmq_address() -> str:
    """zmq:tcp://127.0.0.1:PORT with three free ports in a row, below the ephemeral ones."""
    chance = random.SystemRandom()
    for _ in range(200):
        port = chance.randrange(20_001, 32_000)
        with contextlib.ExitStack() as held:
            try:
                for offset in (-1, 0, 1):
                    taken = held.enter_context(socket.socket())
                    taken.bind(("127.0.0.1", port + offset))
            except OSError:
                continue
        return f"zmq:tcp://127.0.0.1:{port}"
    raise RuntimeError("expected three free ports in a row")


def free_address(kind: str) -> str:
    """An address of this kind that no server has."""
    return f"shm:t{secrets.token_hex(4)}" if kind == "shm" else free_zmq_address()


def port_of(address: str) -> int:
    """The matte port of a ZeroMQ address."""
    return int(address.rpartition(":")[2])


class Child:
    """A Python process and the lines that it prints."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def line(self, patience_s: float = PATIENCE_S) -> str:
        """The next line it prints; queue.Empty when none comes in time."""
        return self._lines.get(timeout=patience_s)

    def kill(self) -> None:
        """Ends it at once, as kill -9 does; safe to call twice."""
        self.process.kill()
        self.process.wait()
        self._reading.join()
        self.process.stdout.close()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line.rstrip())


def picture(seq: int, size_hw: tuple[int, int], pixel_format: PixelFormat) -> np.ndarray:
    """Pixels that differ with every seq and every place."""
    rng = np.random.default_rng(seq)
    shape = (*size_hw, pixel_format.channels)
    if pixel_format.dtype.kind == "f":
        return rng.random(shape).astype(pixel_format.dtype)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def make_frame(
    seq: int, size_hw: tuple[int, int] = (9, 7), pixel_format: PixelFormat = PixelFormat.RGB8
) -> Frame:
    """A frame whose pixels follow from its seq."""
    info = FrameInfo(stream_id=2**62 + 5, seq=seq, pts_ns=-seq * 7, captured_ns=10**15 + seq)
    return Frame(info=info, pixels=picture(seq, size_hw, pixel_format))


def make_matte(
    seq: int,
    size_hw: tuple[int, int] = (9, 7),
    pixel_format: PixelFormat = PixelFormat.GRAY8,
    fill_format: PixelFormat | None = None,
) -> Matte:
    """A matte whose alpha and fill follow from its seq."""
    return Matte(
        info=FrameInfo(stream_id=2**62 + 5, seq=seq, pts_ns=-seq * 7, captured_ns=10**15 + seq),
        alpha=picture(seq, size_hw, pixel_format),
        anchor_seq=max(-1, seq - 3),
        age_ms=1.5 * seq,
        confidence=(0.25, 1.0, 0.0, 0.5)[: pixel_format.channels],
        prompts_version=seq + 1,
        fill=None if fill_format is None else picture(10_000 + seq, size_hw, fill_format),
    )


def wait_for(look: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """The first true thing that look returns; fails if none comes in time."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"nothing came in {patience_s} s")
