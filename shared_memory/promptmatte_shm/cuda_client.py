"""The ends of cuda:NAME in a program that has no torch, as TouchDesigner: frames out, mattes in.

Neither end ever waits for the card: a copy is begun in one call, and what came of it is asked
for in this call and the next ones. So a frame is published, and a matte is handed out, by the
first call after its copy is done; calls are cheap and may come several times a cook.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from promptmatte_shm.cuda_driver import CudaDevice
from promptmatte_shm.cuda_reader import CudaRingReader
from promptmatte_shm.cuda_ring import (
    DEFAULT_CUDA_SLOTS,
    TOUCHDESIGNER,
    Begun,
    Found,
    PixelLayout,
    Plane,
    planes_of,
    roomy_slot_bytes,
    stored_bytes,
)
from promptmatte_shm.cuda_writer import CudaRingWriter
from promptmatte_shm.directory import Channel
from promptmatte_shm.errors import FrameFormatError, ShmError
from promptmatte_shm.frame import FrameInfo, PixelFormat
from promptmatte_shm.ring import ReadCounts
from promptmatte_shm.slot import SlotHeader
from promptmatte_shm.status import LinkStatus

_CLOSING_PATIENCE_S = 0.5

MATTES_KEPT = 4
"""A matte's planes stay as they are until this many newer ones have come, less one."""


class ImageShape(Protocol):
    """TouchDesigner's CUDAMemoryShape."""

    width: int
    height: int
    numComps: int  # noqa: N815
    dataType: Any  # noqa: N815


class DeviceImage(Protocol):
    """TouchDesigner's CUDAMemory, which frees its memory when it is deleted."""

    @property
    def ptr(self) -> int:
        """Where it begins."""
        ...

    @property
    def size(self) -> int:
        """Its bytes."""
        ...

    @property
    def shape(self) -> ImageShape:
        """Its height, width, channels and dtype."""
        ...


class _Sending(NamedTuple):
    """A copy under way; the image must live until it is done."""

    begun: Begun
    event: int
    image: DeviceImage


class CudaFrameSender:
    """Sends the frames of cuda:NAME to a server on the same card.

    For each frame: image = top.cudaMemory(stream=sender.stream), then send(info, image). Call
    poll once more later in the same cook, so that the frame goes out before the next one.
    """

    def __init__(
        self, name: str, *, device: CudaDevice, slot_count: int = DEFAULT_CUDA_SLOTS
    ) -> None:
        """SessionNameError; SessionBusyError while another program sends; CudaError."""
        self._device = device
        self._lock = threading.Lock()
        self._closed = False
        self._sent = 0
        self._late = 0
        self._sending: deque[_Sending] = deque()
        self._writer = CudaRingWriter(name, Channel.FRAMES, device=device, slot_count=slot_count)
        try:
            self.stream = device.new_stream()
            """The CUDA stream of the copies."""
            # Two slots stay out of reach of copies under way: the newest frame and one more.
            self._events = deque(device.new_event() for _ in range(slot_count - 2))
        except ShmError:
            self._writer.close()
            raise
        atexit.register(self.close)

    def send(
        self, info: FrameInfo, image: DeviceImage, layout: PixelLayout = TOUCHDESIGNER
    ) -> bool:
        """Begins to send a frame; whether it could.

        False, and a late frame, when the card has not done the copies before it. The image is
        kept until its copy is done. FrameFormatError for pixels that cannot be carried.
        """
        with self._lock:
            self._check_open()
            header = _header_of(info, image)
            self._publish()
            grows = stored_bytes(header) > self._writer.slot_bytes
            if not self._events or (grows and self._sending):
                self._late += 1
                return False
            begun = self._writer.begin(header, layout)
            self._device.copy(begun.pixels.pointer, image.ptr, begun.pixels.byte_size, self.stream)
            event = self._events[0]
            self._device.record(event, self.stream)
            self._sending.append(_Sending(begun, self._events.popleft(), image))
            self._publish()
            return True

    def poll(self) -> None:
        """Publishes the frames whose copies are done, and shows the server life."""
        with self._lock:
            self._check_open()
            self._publish()
            self._writer.beat()

    def _publish(self) -> None:
        while self._sending and self._device.finished(self._sending[0].event):
            done = self._sending.popleft()
            self._events.append(done.event)
            self._sent += self._writer.publish(done.begun)

    @property
    def late(self) -> int:
        """Frames that were not sent because the card was behind."""
        return self._late

    @property
    def status(self) -> LinkStatus:
        """Counters so far; connected: a server reads."""
        with self._lock:
            return LinkStatus(connected=self._writer.connected, sent=self._sent)

    def _check_open(self) -> None:
        if self._closed:
            raise ShmError(f"cuda:{self._writer.session} is closed: open a new one")

    def close(self) -> None:
        """Waits for the copies under way and frees all; safe to call twice. A server gets half
        a second to let go of the memory."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            atexit.unregister(self.close)
            for sending in self._sending:
                self._device.wait(sending.event)
                self._events.append(sending.event)
            self._sending.clear()
            for event in self._events:
                self._device.destroy_event(event)
            self._device.destroy_stream(self.stream)
            self._writer.close(_CLOSING_PATIENCE_S)


def _header_of(info: FrameInfo, image: DeviceImage) -> SlotHeader:
    shape = image.shape
    dtype = np.dtype(shape.dataType)
    kind = next((f for f in PixelFormat if (f.dtype, f.channels) == (dtype, shape.numComps)), None)
    if kind is None or kind.channels == 3:
        raise FrameFormatError(
            f"expected pixels of 1 or 4 uint8, 4 float16 or 4 float32; got {shape.numComps} "
            f"{dtype}: set the TOP's Pixel Format to 8-bit fixed (RGBA)"
        )
    byte_size = kind.frame_bytes(shape.height, shape.width)
    if byte_size == 0 or byte_size != image.size:
        raise FrameFormatError(
            f"expected {shape.width}x{shape.height} pixels in {byte_size} bytes without gaps; "
            f"got {image.size} bytes"
        )
    return SlotHeader(
        info=info,
        height=shape.height,
        width=shape.width,
        format=kind,
        published_ns=time.monotonic_ns(),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceMatte:
    """A matte on the card. header: what it says (info, anchor_seq, age_ms, confidence,
    prompts_version, fill_format); alpha and fill: where it lies, in this layout.

    header.fill_format is RGB8 for the frame itself, straight, and RGBA8 for the premultiplied
    foreground; the fill's plane has four channels in both cases.
    """

    header: SlotHeader
    layout: PixelLayout
    alpha: Plane
    fill: Plane | None


class _Receiving(NamedTuple):
    """A copy under way into memory of our own."""

    found: Found
    memory: int
    with_fill: bool


class CudaMatteReceiver:
    """Receives the mattes of cuda:NAME from a server on the same card.

    Each is copied into memory of this object, and handed out once the copy is known to be
    whole: scriptTOP.copyCUDAMemory(plane.pointer, plane.byte_size, shape, stream=stream).
    """

    def __init__(self, name: str, *, device: CudaDevice) -> None:
        """SessionNameError; CudaError. No server is needed yet."""
        self._device = device
        self._lock = threading.Lock()
        self._closed = False
        self._counts = ReadCounts()
        self._receiving: _Receiving | None = None
        self._memory = [(0, 0)] * MATTES_KEPT
        self._turn = 0
        self._reader = CudaRingReader(name, Channel.MATTES, device=device, counts=self._counts)
        try:
            self.stream = device.new_stream()
            """The CUDA stream of the copies."""
            self._event = device.new_event()
        except ShmError:
            self._reader.close()
            raise
        atexit.register(self.close)

    def latest(self, *, with_fill: bool = True) -> DeviceMatte | None:
        """The newest unseen matte; None when none has come, or its copy is not done yet.

        Its planes stay valid until MATTES_KEPT - 1 newer mattes were handed out. Without
        with_fill the fill is not copied.
        """
        with self._lock:
            if self._closed:
                raise ShmError(f"cuda:{self._reader.session} is closed: open a new one")
            matte = self._collected()
            if self._receiving is None:
                self._begin(with_fill)
                matte = matte or self._collected()
            else:
                self._reader.beat()
            return matte

    def _begin(self, with_fill: bool) -> None:
        found = self._reader.newest()
        if found is None:
            return
        both = with_fill and found.fill is not None
        byte_size = stored_bytes(found.header) if both else found.pixels.byte_size
        memory = self._own_memory(byte_size)
        self._device.copy(memory, found.pixels.pointer, byte_size, self.stream)
        self._device.record(self._event, self.stream)
        self._receiving = _Receiving(found, memory, both)

    def _own_memory(self, byte_size: int) -> int:
        """The memory whose matte is the oldest."""
        pointer, size = self._memory[self._turn]
        if size < byte_size:
            # Forgotten first: when allocate fails, it must not be freed again.
            self._memory[self._turn] = 0, 0
            if pointer:
                self._device.free(pointer)
            size = roomy_slot_bytes(byte_size)
            pointer = self._device.allocate(size)
            self._memory[self._turn] = pointer, size
        return pointer

    def _collected(self) -> DeviceMatte | None:
        """The matte that was being copied, if it is whole."""
        receiving = self._receiving
        if receiving is None or not self._device.finished(self._event):
            return None
        self._receiving = None
        found = receiving.found
        if not self._reader.finish(found):
            return None
        self._turn = (self._turn + 1) % MATTES_KEPT
        alpha, fill = planes_of(found.header, receiving.memory)
        return DeviceMatte(
            header=found.header,
            layout=found.layout,
            alpha=alpha,
            fill=fill if receiving.with_fill else None,
        )

    @property
    def refusal(self) -> str:
        """Why the server's mattes cannot be used; empty while they can."""
        return self._reader.refusal

    @property
    def status(self) -> LinkStatus:
        """Counters so far; connected: a server whose mattes can be used shows life."""
        return LinkStatus(
            connected=self._reader.connected and not self._closed, **asdict(self._counts)
        )

    def close(self) -> None:
        """Waits for the copy under way and frees all; the planes handed out are no longer
        valid. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            atexit.unregister(self.close)
            if self._receiving is not None:
                self._device.wait(self._event)
            self._reader.close()
            for pointer, _ in self._memory:
                if pointer:
                    self._device.free(pointer)
            self._device.destroy_event(self._event)
            self._device.destroy_stream(self.stream)
