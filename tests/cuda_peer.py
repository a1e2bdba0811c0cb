"""What the CUDA tests share: pictures, both ends, and the other process of them.

As a program: python cuda_peer.py ROLE SESSION [real|other], on a FakeCuda unless it is real.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import shm_peer
from fake_cuda import ONE_CARD, OTHER_CARD, FakeCuda, forget_memory
from links_testing import Child
from promptmatte_shm.cuda_client import CudaFrameSender, CudaMatteReceiver, DeviceMatte
from promptmatte_shm.cuda_reader import CudaRingReader
from promptmatte_shm.cuda_ring import (
    TOUCHDESIGNER,
    ChannelOrder,
    Found,
    PixelLayout,
    Plane,
    RowOrder,
)
from promptmatte_shm.cuda_writer import CudaRingWriter
from promptmatte_shm.directory import Channel
from promptmatte_shm.frame import FrameInfo
from promptmatte_shm.ring import ReadCounts
from promptmatte_shm.slot import SlotHeader


def exchange_name() -> Iterator[str]:
    """A session name nobody uses; fails if the test leaves segments behind."""
    for session in shm_peer.fresh_name():
        yield session
        forget_memory(session)
        for channel in Channel:  # what a killed writer left
            CudaRingWriter(session, channel, device=FakeCuda(session)).close()


def image(device: Any, pixels: np.ndarray) -> SimpleNamespace:
    """A CUDAMemory, as TouchDesigner makes one, of pixels as they are to lie on the card."""
    height, width, channels = pixels.shape
    pointer = device.allocate(pixels.nbytes)
    device.upload(pointer, pixels)
    shape = SimpleNamespace(
        width=width, height=height, numComps=channels, dataType=pixels.dtype.type
    )
    return SimpleNamespace(ptr=pointer, size=pixels.nbytes, shape=shape)


def reader_of(name: str, device: FakeCuda | None = None) -> tuple[CudaRingReader, FakeCuda]:
    """A reader of frames, on a card of its own unless one is given."""
    device = device or FakeCuda(name)
    return CudaRingReader(name, Channel.FRAMES, device=device, counts=ReadCounts()), device


def info(seq: int) -> FrameInfo:
    """Some identity."""
    return FrameInfo(stream_id=2**62 + 3, seq=seq, pts_ns=-5 * seq, captured_ns=10**15 + seq)


def rgb_of(seq: int, size_hw: tuple[int, int]) -> np.ndarray:
    """The picture number seq as people see it: uint8 [H, W, 3], each pixel another colour."""
    return np.random.default_rng(seq).integers(0, 256, (*size_hw, 3), np.uint8)


def on_card(rgb: np.ndarray) -> np.ndarray:
    """The picture as TouchDesigner's 8-bit TOP lies on the card: BGRA, the last row first."""
    alpha = np.full((*rgb.shape[:2], 1), 200, np.uint8)
    return np.concatenate([rgb[::-1, :, ::-1], alpha], axis=2)


def lying(seen: np.ndarray, layout: PixelLayout) -> np.ndarray:
    """Pixels as people see them, as they lie in a layout; and back."""
    if seen.shape[2] == 4 and seen.dtype == np.uint8 and layout.channels is ChannelOrder.BGRA:
        seen = seen[..., [2, 1, 0, 3]]
    return seen[::-1] if layout.rows is RowOrder.BOTTOM_UP else seen


class NumpyCopier:
    """The Copier of a server process that starts without torch; for four bytes a pixel."""

    def __init__(self, device: Any) -> None:
        self._device = device

    def download(self, plane: Plane, layout: PixelLayout) -> np.ndarray:
        return lying(host(self._device, plane), layout)[..., :3].copy()

    def upload(self, pixels: np.ndarray, plane: Plane, layout: PixelLayout) -> None:
        self._device.upload(plane.pointer, lying(pixels, layout))


def host(device: Any, plane: Plane) -> np.ndarray:
    """A copy of a plane."""
    copy = np.empty(plane.shape, plane.dtype)
    device.download(copy, plane.pointer)
    return copy


def size_of(seq: int) -> tuple[int, int]:
    """The size of picture seq where sizes change: every fifth, up and down."""
    return [(9, 7), (270, 480), (5, 6), (300, 600), (64, 64)][seq // 5 % 5]


@contextmanager
def child(role: str, name: str, *arguments: str) -> Iterator[Child]:
    process = Child("cuda_peer.py", role, name, *arguments)
    try:
        assert process.line() == "ready"
        yield process
    finally:
        process.kill()


class Ends:
    """A writer and a reader as of two processes, each with a view of the card of its own."""

    def __init__(self, name: str, *, slot_count: int = 4) -> None:
        self.ours, self.theirs = FakeCuda(name), FakeCuda(name)
        self.counts = ReadCounts()
        self.writer = CudaRingWriter(name, Channel.MATTES, device=self.ours, slot_count=slot_count)
        self.reader = CudaRingReader(name, Channel.MATTES, device=self.theirs, counts=self.counts)
        self.meet()

    def meet(self) -> None:
        """Lets the reader see the writer move."""
        for _ in range(2):
            self.reader.newest()
            self.writer.beat()

    def publish(self, value: int, shape: tuple[int, int, int] = (6, 8, 1)) -> None:
        matte = shm_peer.matte(value % 256, shape, seq=value)
        begun = self.writer.begin(SlotHeader.of_matte(matte), TOUCHDESIGNER)
        self.ours.upload(begun.pixels.pointer, np.asarray(matte.alpha))
        assert self.writer.publish(begun)

    def take(self, between: Callable[[], None] = lambda: None) -> tuple[Found, np.ndarray] | None:
        """The newest picture, whole; between: what happens while it is copied."""
        found = self.reader.newest()
        if found is None:
            return None
        pixels = host(self.theirs, found.pixels)
        between()
        return (found, pixels) if self.reader.finish(found) else None

    def close(self) -> None:
        self.reader.close()
        self.writer.close()
        assert self.ours.held == self.theirs.held == (0, 0, 0, 0)


def device_of(session: str) -> Any:
    """The card that the role is to use."""
    if "real" in sys.argv:
        from promptmatte_shm.cuda_driver import CudaDriver

        return CudaDriver()
    return FakeCuda(session, uuid=OTHER_CARD if "other" in sys.argv else ONE_CARD, forbid_wait=True)


def frames(session: str) -> None:
    """Sends frames of changing size until it is killed."""
    device = device_of(session)
    sender = CudaFrameSender(session, device=device)
    print("ready", flush=True)
    kept: deque[int] = deque()
    for seq in itertools.count(1):
        sent = image(device, on_card(rgb_of(seq, size_of(seq))))
        sender.send(info(seq), sent)
        kept.append(sent.ptr)
        if len(kept) > 8:
            device.free(kept.popleft())
        for _ in range(4):
            time.sleep(0.002)
            sender.poll()


def flood(session: str) -> None:
    """Sends 1 MB frames of one value each, as fast as it can, on as few slots as there can be;
    with a pause now and then, so that some can be read whole."""
    device = device_of(session)
    sender = CudaFrameSender(session, device=device, slot_count=3)
    sent = [image(device, np.full((512, 512, 4), value, np.uint8)) for value in range(5)]
    print("ready", flush=True)
    for seq in itertools.count(1):
        sender.send(info(seq), sent[seq % 5])
        if seq % 50 == 0:
            time.sleep(0.02)


def once(session: str) -> None:
    """Sends one frame, then only shows that it lives."""
    device = device_of(session)
    sender = CudaFrameSender(session, device=device)
    sender.send(info(1), image(device, on_card(rgb_of(1, (9, 7)))))
    print("ready", flush=True)
    while True:
        sender.poll()
        time.sleep(0.01)


def mattes(session: str) -> None:
    """Receives mattes until it is killed, and says of each what it is and a hash of its bytes."""
    device = device_of(session)
    receiver = CudaMatteReceiver(session, device=device)
    print("ready", flush=True)
    while True:
        matte = receiver.latest()
        if matte is not None:
            print(summary(device, matte), flush=True)
        time.sleep(0.001)


def serve(session: str) -> None:
    """A server that makes a matte of every frame of 20x30 until it is killed."""
    from links_testing import make_matte
    from promptmatte.frame import PixelFormat
    from promptmatte.links.cuda_ipc import CudaServerLink

    device = device_of(session)
    link = CudaServerLink(f"cuda:{session}", device=device, copier=NumpyCopier(device))
    while True:
        frame = link.latest_frame(0.1)
        if frame is not None:
            np.testing.assert_array_equal(frame.pixels, rgb_of(frame.info.seq, (20, 30)))
            link.send_matte(make_matte(frame.info.seq, frame.size_hw, PixelFormat.RGBA8))


def summary(device: Any, matte: DeviceMatte) -> str:
    """A line that tells one matte from another."""
    header = matte.header
    planes = [matte.alpha] if matte.fill is None else [matte.alpha, matte.fill]
    return " ".join(
        [
            *(str(n) for n in (header.info.seq, header.anchor_seq, header.prompts_version)),
            header.fill_format.name if header.fill_format else "-",
            *(fingerprint(host(device, plane)) for plane in planes),
        ]
    )


def fingerprint(pixels: np.ndarray) -> str:
    """The shape of an array and what is in it."""
    shape = "x".join(map(str, pixels.shape))
    return f"{shape}:{zlib.crc32(np.ascontiguousarray(pixels)):08x}"


def said(receiving: Child, beat: Callable[[], object]) -> str:
    """The next line of a process that needs to see the writer move."""
    lines: list[str] = []
    waiting = threading.Thread(target=lambda: lines.append(receiving.line()))
    waiting.start()
    while waiting.is_alive():
        beat()
        time.sleep(0.002)
    waiting.join()
    return lines[0]


if __name__ == "__main__":
    roles = {role.__name__: role for role in (frames, flood, once, mattes, serve)}
    roles[sys.argv[1]](sys.argv[2])
