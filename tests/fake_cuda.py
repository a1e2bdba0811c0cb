"""A card whose memory is shared memory, so that the exchange runs between real processes.

FakeCuda has the methods of CudaDriver and is as strict as a real one is dangerous: memory
outside an allocation is not touched, what another living process has open is not freed, a
handle is not opened by its own exporter.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from promptmatte_shm.errors import CudaError, ShmError
from promptmatte_shm.segment import Segment, unlink

ONE_CARD, OTHER_CARD = bytes([1] * 16), bytes([2] * 16)
_OPENERS = 8
_blocks = itertools.count()
_HANDLE = struct.Struct("<32sQQ16x")


class FakeCuda:
    """A CudaDevice. lag: how often a copy is asked for before it is done; until then only
    the first half of its bytes has moved. forbid_wait: waiting fails the test."""

    def __init__(
        self, session: str, *, uuid: bytes = ONE_CARD, lag: int = 0, forbid_wait: bool = False
    ) -> None:
        self.session = session
        self.uuid = uuid
        self.lag = lag
        self.forbid_wait = forbid_wait
        self.waits = 0
        self.copied: Callable[[], None] = lambda: None
        """Called after each copy."""
        self._blocks: dict[int, tuple[Segment, int]] = {}
        self._exported: set[str] = set()
        self._opened: set[int] = set()
        self._streams: dict[int, list[Callable[[], None]]] = {}
        self._events: dict[int, tuple[int, list[Callable[[], None]]]] = {}
        self._numbers = itertools.count(1)

    @property
    def allocated(self) -> int:
        """Allocations not yet freed."""
        return len(self._blocks) - len(self._opened)

    @property
    def held(self) -> tuple[int, int, int, int]:
        """What is not yet given back: allocations, opened memory, streams, events."""
        return self.allocated, len(self._opened), len(self._streams), len(self._events)

    def allocate(self, byte_size: int) -> int:
        name = f"pm_{self.session}.g{os.getpid():x}.{next(_blocks):x}"
        return self._mapped(Segment.create(name, byte_size + 8 * _OPENERS), byte_size)

    def _mapped(self, segment: Segment, byte_size: int) -> int:
        pointer = int(np.frombuffer(segment.view, np.uint8).ctypes.data)
        self._blocks[pointer] = segment, byte_size
        return pointer

    def free(self, pointer: int) -> None:
        assert pointer not in self._opened, "opened memory is closed, not freed"
        segment, byte_size = self._blocks.pop(pointer)
        for pid in self._openers(segment, byte_size):
            assert not (pid and _is_alive(pid)), f"freed while process {pid} has it open"
        unlink(segment.name)

    def export(self, pointer: int) -> bytes:
        assert pointer in self._blocks, "only the base of an allocation can be exported"
        assert pointer not in self._opened, "opened memory cannot be exported"
        segment, byte_size = self._blocks[pointer]
        self._exported.add(segment.name)
        return _HANDLE.pack(segment.name.encode(), byte_size, os.getpid())

    def open_exported(self, handle: bytes) -> int:
        name, byte_size, pid = _HANDLE.unpack(handle)
        if pid == os.getpid() and name.rstrip(b"\0").decode() in self._exported:
            raise CudaError("cuIpcOpenMemHandle_v2 gave CUDA_ERROR_INVALID_CONTEXT (201)")
        try:
            segment = Segment.attach(name.rstrip(b"\0").decode(errors="replace"), 1)
        except (ShmError, ValueError) as error:
            raise CudaError("cuIpcOpenMemHandle_v2 gave CUDA_ERROR_INVALID_VALUE (1)") from error
        openers = self._openers(segment, byte_size)
        openers[next(i for i, pid in enumerate(openers) if not (pid and _is_alive(pid)))] = (
            os.getpid()
        )
        pointer = self._mapped(segment, byte_size)
        self._opened.add(pointer)
        return pointer

    def close_exported(self, pointer: int) -> None:
        self._opened.remove(pointer)
        segment, byte_size = self._blocks.pop(pointer)
        openers = self._openers(segment, byte_size)
        openers[list(openers).index(os.getpid())] = 0

    def _openers(self, segment: Segment, byte_size: int) -> Any:
        return segment.view[byte_size : byte_size + 8 * _OPENERS].cast("Q")

    def byte_size(self, pointer: int) -> int:
        return self._blocks[pointer][1]

    def new_stream(self) -> int:
        stream = next(self._numbers)
        self._streams[stream] = []
        return stream

    def destroy_stream(self, stream: int) -> None:
        del self._streams[stream]

    def new_event(self) -> int:
        event = next(self._numbers)
        self._events[event] = 0, []
        return event

    def destroy_event(self, event: int) -> None:
        del self._events[event]

    def copy(self, target: int, source: int, byte_size: int, stream: int) -> None:
        for pointer in (target, source):
            self.check(pointer, byte_size)
        half = byte_size // 2 if self.lag else byte_size
        ctypes.memmove(target, source, half)

        def rest() -> None:
            for pointer in (target, source):
                self.check(pointer, byte_size)
            ctypes.memmove(target + half, source + half, byte_size - half)
            self.copied()

        self._streams[stream].append(rest)

    def check(self, pointer: int, byte_size: int) -> None:
        """Fails unless all these bytes lie in one allocation."""
        assert any(
            base <= pointer and pointer + byte_size <= base + size
            for base, (_, size) in self._blocks.items()
        ), "outside of device memory"

    def record(self, event: int, stream: int) -> None:
        assert self._events[event][1] == [], "recorded again before it was finished"
        work, self._streams[stream] = self._streams[stream], []
        self._events[event] = self.lag, work

    def finished(self, event: int) -> bool:
        left, work = self._events[event]
        if left:
            self._events[event] = left - 1, work
            return False
        self._events[event] = 0, []
        for step in work:
            step()
        return True

    def wait(self, event: int) -> None:
        assert not self.forbid_wait, "waited for the card"
        self.waits += 1
        while not self.finished(event):
            pass

    def upload(self, target: int, source: np.ndarray) -> None:
        self.array(target, source.shape, source.dtype)[...] = source

    def download(self, target: np.ndarray, source: int) -> None:
        target[...] = self.array(source, target.shape, target.dtype)

    def array(self, pointer: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array that looks into device memory."""
        byte_size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.check(pointer, byte_size)
        buffer = (ctypes.c_ubyte * byte_size).from_address(pointer)
        return np.frombuffer(buffer, dtype).reshape(shape)


def _is_alive(pid: int) -> bool:
    if os.name != "posix":
        return False  # not known; os.kill would end it
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def forget_memory(session: str) -> None:
    """Frees the device memory of killed processes, as the driver does."""
    for path in Path("/dev/shm").glob(f"pm_{session}.g*"):
        if not _is_alive(int(path.name.rpartition(".g")[2].partition(".")[0], 16)):
            path.unlink()
