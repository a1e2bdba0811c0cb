"""The driver's binding against a library that writes down its calls, and on a real card."""

import ctypes
import re
from collections.abc import Callable, Iterator
from ctypes import POINTER, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import cuda_peer
import numpy as np
import pytest
import shm_peer
from links_testing import Child, wait_for
from promptmatte_shm import cuda_driver
from promptmatte_shm.cuda_client import CudaFrameSender, CudaMatteReceiver
from promptmatte_shm.cuda_driver import (
    PROTOTYPES,
    CudaDriver,
    IpcHandle,
    available,
    load_library,
    shown_uuid,
)
from promptmatte_shm.cuda_reader import CudaRingReader
from promptmatte_shm.cuda_ring import TOUCHDESIGNER
from promptmatte_shm.cuda_writer import CudaRingWriter
from promptmatte_shm.directory import Channel
from promptmatte_shm.errors import CudaError, FrameFormatError, ShmError
from promptmatte_shm.ring import ReadCounts
from promptmatte_shm.slot import SlotHeader

MEMORY, OPENED = 0x7F00_0000_0000, 0x7E00_0000_0000
NAMES = {2: b"CUDA_ERROR_OUT_OF_MEMORY", 201: b"CUDA_ERROR_INVALID_CONTEXT"}


class Function:
    """A function of the library. Its arguments must fit the types that were set, as ctypes
    has it; then `does` fills what is returned through pointers."""

    def __init__(self, library: "Library", name: str, does: Callable[..., int | None]) -> None:
        self.argtypes: tuple[Any, ...] = ()
        self.restype: object = None
        self._library, self._name, self._does = library, name, does

    def __call__(self, *arguments: Any) -> int:
        assert self.restype is c_int
        assert len(arguments) == len(self.argtypes), self._name
        for kind, argument in zip(self.argtypes, arguments, strict=True):
            kind.from_param(argument)
        if not self._name.startswith("cuGetError"):
            self._library.calls.append((self._name, arguments))
        code = self._library.codes.get(self._name, 0)
        return code or self._does(*arguments) or 0


class Library:
    """A driver with two cards; codes: what a function is to return instead of success."""

    def __init__(self, *lacks: str, **codes: int) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.codes = codes
        self.stack: list[int] = []
        self.attributes = {41: 1, 125: 1}
        does: dict[str, Callable[..., int | None]] = {
            "cuDeviceGetCount": lambda count: put(count, 2),
            "cuDeviceGet": lambda device, ordinal: put(device, ordinal),
            "cuDeviceGetName": lambda name, size, _: setattr(name, "value", b"A Card"[:size]),
            "cuDeviceGetUuid_v2": lambda card, device: fill(card._obj, [7 + device] * 16),
            "cuDeviceGetUuid": lambda card, _: fill(card._obj, [9] * 16),
            "cuDeviceGetAttribute": lambda value, which, _: put(value, self.attributes[which]),
            "cuDevicePrimaryCtxRetain": lambda context, device: put(context, 0xC0 + device),
            "cuCtxPushCurrent_v2": lambda context: self.stack.append(context),
            "cuCtxPopCurrent_v2": lambda context: put(context, self.stack.pop()),
            "cuMemAlloc_v2": lambda pointer, size: put(pointer, MEMORY + size),
            "cuMemGetAddressRange_v2": lambda base, size, at: put(base, at - 64) or put(size, 4096),
            "cuPointerGetAttribute": lambda data, which, _: put(data, {9: 1}[which]),
            "cuIpcGetMemHandle": lambda handle, _: fill(handle._obj.reserved, list(range(64))),
            "cuIpcOpenMemHandle_v2": self._open,
            "cuStreamCreate": lambda stream, flags: put(stream, 0x50 + flags),
            "cuEventCreate": lambda event, flags: put(event, 0xE0 + flags),
            "cuGetErrorName": lambda code, text: put(text, NAMES.get(code)) or int(code in NAMES),
        }
        for name in {*PROTOTYPES, *cuda_driver.UUID_NAMES} - set(lacks):
            setattr(self, name, Function(self, name, does.get(name, lambda *_: None)))

    def _open(self, pointer: Any, handle: IpcHandle, flags: int) -> int | None:
        put(pointer, OPENED)
        return None if (bytes(handle.reserved), flags) == (bytes(range(64)), 1) else 1

    @property
    def names(self) -> list[str]:
        """Functions called so far, without the changes of context."""
        return [name for name, _ in self.calls if not name.startswith("cuCtx")]


def put(place: Any, value: object) -> None:
    """Stores what a function returns through a pointer."""
    place._obj.value = value


def fill(array: Any, values: list[int]) -> None:
    """Stores an array that a function returns."""
    array[:] = values


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def driver(library: Library) -> Iterator[CudaDriver]:
    driver = CudaDriver(1, library=library)
    library.calls.clear()
    yield driver
    assert library.stack == [], "the thread keeps the context it had"


def test_the_types_are_those_of_the_driver() -> None:
    pointer, handle = POINTER(c_uint64), POINTER(c_void_p)
    assert ctypes.sizeof(IpcHandle) == 64
    assert PROTOTYPES["cuMemAlloc_v2"] == (pointer, c_size_t)
    assert PROTOTYPES["cuMemFree_v2"] == (c_uint64,)
    assert PROTOTYPES["cuMemcpyDtoDAsync_v2"] == (c_uint64, c_uint64, c_size_t, c_void_p)
    assert PROTOTYPES["cuMemcpyHtoD_v2"] == (c_uint64, c_void_p, c_size_t)
    assert PROTOTYPES["cuMemcpyDtoH_v2"] == (c_void_p, c_uint64, c_size_t)
    assert PROTOTYPES["cuMemGetAddressRange_v2"] == (pointer, POINTER(c_size_t), c_uint64)
    assert PROTOTYPES["cuIpcGetMemHandle"] == (POINTER(IpcHandle), c_uint64)
    assert PROTOTYPES["cuIpcOpenMemHandle_v2"] == (pointer, IpcHandle, c_uint), "by value"
    assert PROTOTYPES["cuIpcCloseMemHandle"] == (c_uint64,)
    assert PROTOTYPES["cuDevicePrimaryCtxRetain"] == (handle, c_int)
    assert PROTOTYPES["cuCtxPushCurrent_v2"] == (c_void_p,)
    assert PROTOTYPES["cuStreamCreate"] == PROTOTYPES["cuEventCreate"] == (handle, c_uint)
    assert PROTOTYPES["cuEventRecord"] == (c_void_p, c_void_p)
    assert PROTOTYPES["cuPointerGetAttribute"] == (c_void_p, c_int, c_uint64)


def test_a_driver_tells_its_card_apart(library: Library) -> None:
    driver = CudaDriver(1, library=library)
    assert (driver.ordinal, driver.name, driver.uuid) == (1, "A Card", bytes([8] * 16))
    assert shown_uuid(driver.uuid) == "GPU-08080808-0808-0808-0808-080808080808"
    assert driver.ordinal_of(MEMORY) == 1
    driver.close()
    driver.close()
    assert library.names.count("cuDevicePrimaryCtxRelease_v2") == 1
    with pytest.raises(CudaError, match="closed"):
        driver.allocate(64)


def test_an_older_driver_has_only_the_older_uuid() -> None:
    assert CudaDriver(library=Library("cuDeviceGetUuid_v2")).uuid == bytes([9] * 16)


def test_memory_streams_and_events(library: Library, driver: CudaDriver) -> None:
    pointer = driver.allocate(0x1000)
    assert pointer == MEMORY + 0x1000
    assert driver.export(pointer) == bytes(range(64))
    assert driver.open_exported(bytes(range(64))) == OPENED
    assert driver.byte_size(pointer) == 4096 - 64
    stream, event = driver.new_stream(), driver.new_event()
    assert (stream, event) == (0x51, 0xE2), "waits for no other stream, has no time"
    driver.copy(pointer, pointer + 8, 3, stream)
    driver.record(event, stream)
    assert driver.finished(event)
    driver.wait(event)
    pixels = np.zeros((4, 5), np.uint8)
    driver.upload(pointer, pixels)
    driver.download(pixels, pointer)
    with pytest.raises(FrameFormatError, match="contiguous"):
        driver.download(pixels[:, ::2], pointer)
    driver.close_exported(OPENED)
    driver.destroy_event(event)
    driver.destroy_stream(stream)
    driver.free(pointer)
    calls = [call for call in library.calls if not call[0].startswith("cuCtx")]
    assert ("cuMemcpyDtoDAsync_v2", (pointer, pointer + 8, 3, stream)) in calls
    assert ("cuEventRecord", (event, stream)) in calls
    assert ("cuMemcpyHtoD_v2", (pointer, pixels.ctypes.data, 20)) in calls
    assert ("cuMemcpyDtoH_v2", (pixels.ctypes.data, pointer, 20)) in calls
    assert calls[-1] == ("cuMemFree_v2", (pointer,))
    assert all(
        library.calls[i - 1] == ("cuCtxPushCurrent_v2", (0xC1,))
        for i, (name, _) in enumerate(library.calls)
        if not name.startswith("cuCtx")
    )


def test_an_unfinished_event_is_no_error(library: Library, driver: CudaDriver) -> None:
    library.codes["cuEventQuery"] = 600
    assert driver.finished(1) is False
    library.codes["cuEventQuery"] = 700
    with pytest.raises(CudaError, match=r"unknown error \(700\).*restart this program"):
        driver.finished(1)


@pytest.mark.parametrize(
    ("call", "code", "told"),
    [
        ("cuMemAlloc_v2", 2, "CUDA_ERROR_OUT_OF_MEMORY .2.: free memory"),
        ("cuIpcOpenMemHandle_v2", 201, "INVALID_CONTEXT .201.*exported it: use two processes"),
        ("cuIpcOpenMemHandle_v2", 1, "no longer there: restart the program that sends"),
        ("cuIpcOpenMemHandle_v2", 205, "one machine, outside WSL"),
        ("cuIpcGetMemHandle", 801, "no CUDA IPC.*update it, or use shm:NAME"),
        ("cuMemAlloc_v2", 12345, "12345.: update the NVIDIA driver, or use shm:NAME"),
        ("cuCtxPushCurrent_v2", 709, "709"),
    ],
)
def test_a_refused_call_says_what_to_do(
    library: Library, driver: CudaDriver, call: str, code: int, told: str
) -> None:
    library.codes[call] = code
    uses = {
        "cuIpcGetMemHandle": lambda: driver.export(1),
        "cuIpcOpenMemHandle_v2": lambda: driver.open_exported(bytes(64)),
    }
    with pytest.raises(CudaError, match=told) as caught:
        uses.get(call, lambda: driver.allocate(1))()
    assert isinstance(caught.value, ShmError)
    assert isinstance(caught.value, RuntimeError)
    assert "\n" not in str(caught.value)


def test_a_driver_that_has_shut_down_has_freed_all(library: Library, driver: CudaDriver) -> None:
    for name in ("cuMemFree_v2", "cuIpcCloseMemHandle", "cuEventDestroy_v2", "cuStreamDestroy_v2"):
        library.codes[name] = 4
    driver.free(1)
    driver.close_exported(1)
    driver.destroy_event(1)
    driver.destroy_stream(1)
    library.codes["cuCtxPushCurrent_v2"] = library.codes["cuDevicePrimaryCtxRelease_v2"] = 4
    driver.free(1)
    with pytest.raises(CudaError, match="cuCtxPushCurrent_v2"):
        driver.allocate(1)
    driver.close()


def test_a_handle_of_another_length_is_refused(driver: CudaDriver) -> None:
    with pytest.raises(CudaError, match="64 bytes; got 3"):
        driver.open_exported(b"abc")


def test_available_says_the_name(library: Library) -> None:
    found = available(library=library)
    assert (found.usable, found.about) == (True, "A Card")
    assert library.names[-1] == "cuDevicePrimaryCtxRelease_v2"
    assert "cuIpcGetMemHandle" in library.names
    assert library.names.count("cuMemAlloc_v2") == library.names.count("cuMemFree_v2") == 1


def test_an_unknown_attribute_is_no_reason_against_a_card() -> None:
    assert available(library=Library(cuDeviceGetAttribute=1)).usable


@pytest.mark.parametrize(
    ("library", "told"),
    [
        (Library("cuIpcGetMemHandle"), "without cuIpcGetMemHandle: update it"),
        (Library("cuDeviceGetUuid", "cuDeviceGetUuid_v2"), "without cuDeviceGetUuid"),
        (Library(cuInit=100), "100.*CUDA_VISIBLE_DEVICES"),
        (Library(cuDevicePrimaryCtxRetain=2), "OUT_OF_MEMORY"),
        (Library(cuIpcGetMemHandle=801), "no CUDA IPC"),
        (Library(cuMemAlloc_v2=2), "OUT_OF_MEMORY"),
    ],
)
def test_available_says_why_not(library: Library, told: str) -> None:
    found = available(library=library)
    assert not found.usable
    assert re.search(told, found.about)


@pytest.mark.parametrize(("attribute", "what"), [(41, "unified addressing"), (125, "CUDA IPC")])
def test_a_card_without_ipc_is_told_by_its_attributes(
    library: Library, attribute: int, what: str
) -> None:
    library.attributes[attribute] = 0
    found = available(library=library)
    assert not found.usable
    assert f"with {what}; got A Card without" in found.about
    assert "cuMemAlloc_v2" not in library.names


def test_a_number_that_is_no_card_is_refused(library: Library) -> None:
    for ordinal in (-1, 2):
        with pytest.raises(CudaError, match=f"one of 2 CUDA cards; got number {ordinal}"):
            CudaDriver(ordinal, library=library)


@pytest.mark.parametrize(
    ("platform", "told"),
    [("darwin", "Windows or Linux"), ("win32", "nvcuda.dll"), ("linux", r"libcuda\.so\.1")],
)
def test_a_system_without_a_driver_says_so(
    monkeypatch: pytest.MonkeyPatch, platform: str, told: str
) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: not found")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(CudaError, match=f"{told}.*use shm:NAME"):
        load_library(platform)


def test_available_never_raises() -> None:
    found = available()
    assert found.about
    assert isinstance(found.usable, bool)


# --- on a real card


@pytest.fixture
def card() -> Iterator[CudaDriver]:
    found = available()
    if not found.usable:
        pytest.skip(found.about)
    driver = CudaDriver()
    yield driver
    driver.close()


@pytest.fixture
def name() -> Iterator[str]:
    yield from cuda_peer.exchange_name()


@pytest.mark.gpu
def test_frames_of_another_process_on_a_real_card(card: CudaDriver, name: str) -> None:
    reader = CudaRingReader(name, Channel.FRAMES, device=card, counts=ReadCounts())
    child = Child("cuda_peer.py", "frames", name, "real")
    try:
        assert child.line() == "ready"

        def look() -> bool:
            found = reader.newest()
            if found is None:
                return False
            pixels, seq = cuda_peer.host(card, found.pixels), found.header.info.seq
            if reader.finish(found):
                size_hw = cuda_peer.size_of(seq)
                expected = cuda_peer.on_card(cuda_peer.rgb_of(seq, size_hw))
                np.testing.assert_array_equal(pixels, expected)
            return seq > 30

        wait_for(look)
    finally:
        reader.close()
        child.kill()


@pytest.mark.gpu
def test_mattes_for_another_process_on_a_real_card(card: CudaDriver, name: str) -> None:
    writer = CudaRingWriter(name, Channel.MATTES, device=card)
    child = Child("cuda_peer.py", "mattes", name, "real")
    try:
        assert child.line() == "ready"
        for seq in range(12):
            matte = shm_peer.matte(seq, (*cuda_peer.size_of(seq), 1), seq=seq, fill_channels=4)
            begun = writer.begin(SlotHeader.of_matte(matte), TOUCHDESIGNER)
            assert begun.fill is not None
            pixels = np.random.default_rng(seq).integers(0, 256, begun.fill.shape, np.uint8)
            card.upload(begun.pixels.pointer, np.asarray(matte.alpha))
            card.upload(begun.fill.pointer, pixels)
            writer.publish(begun)
            assert cuda_peer.said(child, writer.beat).endswith(cuda_peer.fingerprint(pixels))
    finally:
        child.kill()
        writer.close(patience_s=5.0)


@pytest.mark.gpu
def test_the_ends_of_a_compositor_on_a_real_card(card: CudaDriver, name: str) -> None:
    sender, receiver = CudaFrameSender(name, device=card), CudaMatteReceiver(name, device=card)
    sent = cuda_peer.image(card, cuda_peer.on_card(cuda_peer.rgb_of(1, (270, 480))))
    assert card.ordinal_of(sent.ptr) == card.ordinal
    for seq in range(20):
        sender.send(cuda_peer.info(seq), sent)
        wait_for(lambda: sender.poll() or sender.status.sent + sender.late)
        assert receiver.latest() is None
    assert sender.status.sent > 0
    sender.close()
    receiver.close()
    card.free(sent.ptr)


@pytest.mark.gpu
def test_a_real_card_does_not_open_its_own_memory(card: CudaDriver) -> None:
    pointer = card.allocate(cuda_driver.SHARED_BLOCK_BYTES)
    assert card.byte_size(pointer) >= cuda_driver.SHARED_BLOCK_BYTES
    with pytest.raises(CudaError, match="use two processes"):
        card.open_exported(card.export(pointer))
    card.free(pointer)
