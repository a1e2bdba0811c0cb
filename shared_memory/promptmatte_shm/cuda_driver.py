"""The CUDA driver without torch: device memory, its export to another process, copies.

A thin binding by ctypes of what the exchange of pictures needs (CUDA driver API, cuda.h).
The library is loaded when a CudaDriver is made, never at import. Every result code is
checked and becomes a CudaError that says what to do.
"""

from __future__ import annotations

import ctypes
import sys
import uuid
from collections.abc import Callable
from ctypes import POINTER, byref, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from promptmatte_shm.errors import CudaError, FrameFormatError

HANDLE_BYTES = 64
SHARED_BLOCK_BYTES = 2 * 1024 * 1024
"""Smaller allocations may lie in one block with others, which an export would share too."""

LIBRARIES = {"win32": "nvcuda.dll", "linux": "libcuda.so.1"}
INSTEAD = "use shm:NAME instead"


class IpcHandle(ctypes.Structure):
    """CUipcMemHandle; the driver takes it by value."""

    _fields_ = [("reserved", ctypes.c_ubyte * HANDLE_BYTES)]


PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (ctypes.c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxPushCurrent_v2": (c_void_p,),
    "cuCtxPopCurrent_v2": (POINTER(c_void_p),),
    "cuPointerGetAttribute": (c_void_p, c_int, c_uint64),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemGetAddressRange_v2": (POINTER(c_uint64), POINTER(c_size_t), c_uint64),
    "cuMemcpyDtoDAsync_v2": (c_uint64, c_uint64, c_size_t, c_void_p),
    "cuMemcpyHtoD_v2": (c_uint64, c_void_p, c_size_t),
    "cuMemcpyDtoH_v2": (c_void_p, c_uint64, c_size_t),
    "cuIpcGetMemHandle": (POINTER(IpcHandle), c_uint64),
    "cuIpcOpenMemHandle_v2": (POINTER(c_uint64), IpcHandle, c_uint),
    "cuIpcCloseMemHandle": (c_uint64,),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventDestroy_v2": (c_void_p,),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventQuery": (c_void_p,),
    "cuEventSynchronize": (c_void_p,),
    "cuGetErrorName": (c_int, POINTER(ctypes.c_char_p)),
}
# Knows the slices of a card apart (MIG); drivers before CUDA 11.4 have only the older one.
UUID_NAMES = ("cuDeviceGetUuid_v2", "cuDeviceGetUuid")
UUID_PROTOTYPE = (POINTER(ctypes.c_ubyte * 16), c_int)

_SUCCESS, _INVALID_VALUE, _DEINITIALIZED, _NOT_READY = 0, 1, 4, 600
_UNIFIED_ADDRESSING, _IPC_EVENT_SUPPORTED = 41, 125
_DEVICE_ORDINAL = 9
_STREAM_NON_BLOCKING, _EVENT_DISABLE_TIMING, _LAZY_ENABLE_PEER_ACCESS = 1, 2, 1

_LOST = "the card's context is lost: restart this program"
_ADVICE = {
    2: "free memory on the card, or use a smaller picture or fewer slots",
    3: "restart this program",
    100: f"see that CUDA_VISIBLE_DEVICES does not hide the NVIDIA card, or {INSTEAD}",
    101: "choose the number of a card that is there",
    205: "run both programs on one machine, outside WSL, or in containers that share IPC and PIDs",
    304: "run both programs on one machine, outside WSL, or in containers that share IPC and PIDs",
    700: _LOST,
    719: _LOST,
    800: f"give this program leave to use the card, or {INSTEAD}",
    801: f"this driver has no CUDA IPC here: update it, or {INSTEAD}",
    803: "restart the machine: the driver was updated while it ran",
}
_OPEN = "cuIpcOpenMemHandle_v2"
_CALL_ADVICE = {
    (_OPEN, 1): "the memory is no longer there: restart the program that sends",
    (_OPEN, 201): "memory may not be opened in the process that exported it: use two processes",
    (_OPEN, 400): "the memory is no longer there: restart the program that sends",
}


class CudaDevice(Protocol):
    """What the exchange of pictures needs of a card; pointers, streams and events are ints.

    All calls may come from any thread. Only wait and, where the driver decides so,
    allocate, free, open_exported and close_exported wait for the card.
    """

    @property
    def uuid(self) -> bytes:
        """The 16 bytes by which two processes know that they use the same card."""
        ...

    def allocate(self, byte_size: int) -> int:
        """New device memory."""
        ...

    def free(self, pointer: int) -> None:
        """Frees it; undefined while another process has it open."""
        ...

    def export(self, pointer: int) -> bytes:
        """The handle of allocated memory for another process, HANDLE_BYTES long."""
        ...

    def open_exported(self, handle: bytes) -> int:
        """The memory that another process exported."""
        ...

    def close_exported(self, pointer: int) -> None:
        """Lets go of it."""
        ...

    def byte_size(self, pointer: int) -> int:
        """Bytes from this pointer to the end of its allocation."""
        ...

    def new_stream(self) -> int:
        """A stream that waits for no other."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Frees a stream."""
        ...

    def new_event(self) -> int:
        """An event, which marks a point in a stream."""
        ...

    def destroy_event(self, event: int) -> None:
        """Frees an event."""
        ...

    def copy(self, target: int, source: int, byte_size: int, stream: int) -> None:
        """Begins a copy on the card; both places stay valid until it is done."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Puts the event behind all that the stream has to do."""
        ...

    def finished(self, event: int) -> bool:
        """Whether the stream has passed the event."""
        ...

    def wait(self, event: int) -> None:
        """Waits until it has."""
        ...


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether pictures can be exchanged on a card. about: its name, or why they cannot."""

    usable: bool
    about: str


def available(ordinal: int = 0, *, library: Any = None) -> Availability:
    """Whether this process can use a card and export memory of it; never raises."""
    try:
        driver = CudaDriver(ordinal, library=library)
        try:
            driver.check_export()
        finally:
            driver.close()
    except CudaError as error:
        return Availability(usable=False, about=str(error))
    return Availability(usable=True, about=driver.name)


def shown_uuid(card: bytes) -> str:
    """The card as nvidia-smi and CUDA_VISIBLE_DEVICES write it."""
    return f"GPU-{uuid.UUID(bytes=card)}"


def load_library(platform: str = sys.platform) -> Any:
    """The driver's library; CudaError where there is none."""
    if platform not in LIBRARIES:
        raise CudaError(f"expected Windows or Linux for CUDA; got {platform}: {INSTEAD}")
    try:
        return ctypes.CDLL(LIBRARIES[platform])
    except OSError as error:
        raise CudaError(
            f"expected the NVIDIA driver ({LIBRARIES[platform]}); got {error}: install the "
            f"driver of an NVIDIA card, or {INSTEAD}"
        ) from error


def bound(library: Any) -> dict[str, Callable[..., int]]:
    """The driver's functions with their argument types; CudaError if it lacks one."""
    functions: dict[str, Callable[..., int]] = {}
    newest = next((name for name in UUID_NAMES if hasattr(library, name)), UUID_NAMES[0])
    for name, types in {**PROTOTYPES, newest: UUID_PROTOTYPE}.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise CudaError(
                f"expected a driver of CUDA 11 or newer; got one without {name}: update it, "
                f"or {INSTEAD}"
            ) from error
        function.argtypes, function.restype = types, c_int
        functions[name] = function
    return functions


class CudaDriver:
    """A card in its primary context, which torch and the CUDA runtime use too, so that
    each one's pointers are good for the other. A CudaDevice; close() when done."""

    def __init__(self, ordinal: int = 0, *, library: Any = None) -> None:
        """CudaError without a driver or such a card. library: for tests."""
        self._functions = bound(load_library() if library is None else library)
        self._context = 0
        count, device = c_int(), c_int()
        self._check("cuInit", 0)
        self._check("cuDeviceGetCount", byref(count))
        if not 0 <= ordinal < count.value:
            raise CudaError(f"expected one of {count.value} CUDA cards; got number {ordinal}")
        self._check("cuDeviceGet", byref(device), ordinal)
        self.ordinal = ordinal
        self._device = device.value
        name = ctypes.create_string_buffer(256)
        self._check("cuDeviceGetName", name, len(name), self._device)
        self.name = name.value.decode(errors="replace")
        card = (ctypes.c_ubyte * 16)()
        self._check(next(n for n in UUID_NAMES if n in self._functions), byref(card), self._device)
        self._uuid = bytes(card)
        context = c_void_p()
        self._check("cuDevicePrimaryCtxRetain", byref(context), self._device)
        self._context = context.value or 0

    @property
    def uuid(self) -> bytes:
        """The 16 bytes by which two processes know that they use the same card."""
        return self._uuid

    def close(self) -> None:
        """Leaves the context; safe to call twice. Memory, streams and events come first."""
        if self._context:
            self._context = 0
            self._check("cuDevicePrimaryCtxRelease_v2", self._device, fine=(_DEINITIALIZED,))

    def check_export(self) -> None:
        """CudaError unless memory of this card can be exported to another process."""
        for attribute, what in (
            (_UNIFIED_ADDRESSING, "unified addressing"),
            (_IPC_EVENT_SUPPORTED, "CUDA IPC"),
        ):
            value = c_int()
            # A driver that does not know the attribute is asked by the attempt below.
            asked = self._check(
                "cuDeviceGetAttribute", byref(value), attribute, self._device,
                fine=(_INVALID_VALUE,),
            )  # fmt: skip
            if asked == _SUCCESS and not value.value:
                raise CudaError(
                    f"expected a card and driver with {what}; got {self.name} without: "
                    f"update the driver, on Windows to a current one, or {INSTEAD}"
                )
        pointer = self.allocate(SHARED_BLOCK_BYTES)
        try:
            self.export(pointer)
        finally:
            self.free(pointer)

    def ordinal_of(self, pointer: int) -> int:
        """The number of the card on which this memory lies."""
        ordinal = c_int()
        self._call("cuPointerGetAttribute", byref(ordinal), _DEVICE_ORDINAL, pointer)
        return ordinal.value

    def allocate(self, byte_size: int) -> int:
        """New device memory; CudaError if there is no room."""
        pointer = c_uint64()
        self._call("cuMemAlloc_v2", byref(pointer), byte_size)
        return pointer.value

    def free(self, pointer: int) -> None:
        """Frees what allocate returned; may wait for the card."""
        self._call("cuMemFree_v2", pointer, fine=(_DEINITIALIZED,))

    def export(self, pointer: int) -> bytes:
        """The handle of what allocate returned, for another process."""
        handle = IpcHandle()
        self._call("cuIpcGetMemHandle", byref(handle), pointer)
        return bytes(handle.reserved)

    def open_exported(self, handle: bytes) -> int:
        """The memory that another process exported; CudaError if it has gone."""
        if len(handle) != HANDLE_BYTES:
            raise CudaError(f"expected a handle of {HANDLE_BYTES} bytes; got {len(handle)}")
        pointer = c_uint64()
        self._call(
            _OPEN, byref(pointer), IpcHandle.from_buffer_copy(handle), _LAZY_ENABLE_PEER_ACCESS
        )
        return pointer.value

    def close_exported(self, pointer: int) -> None:
        """Lets go of what open_exported returned."""
        self._call("cuIpcCloseMemHandle", pointer, fine=(_DEINITIALIZED,))

    def byte_size(self, pointer: int) -> int:
        """Bytes from this pointer to the end of its allocation."""
        base, size = c_uint64(), c_size_t()
        self._call("cuMemGetAddressRange_v2", byref(base), byref(size), pointer)
        return base.value + size.value - pointer

    def new_stream(self) -> int:
        """A stream that does not wait for the default one."""
        stream = c_void_p()
        self._call("cuStreamCreate", byref(stream), _STREAM_NON_BLOCKING)
        return stream.value or 0

    def destroy_stream(self, stream: int) -> None:
        """Frees a stream; what it has begun goes on to its end."""
        self._call("cuStreamDestroy_v2", stream, fine=(_DEINITIALIZED,))

    def new_event(self) -> int:
        """An event without a time."""
        event = c_void_p()
        self._call("cuEventCreate", byref(event), _EVENT_DISABLE_TIMING)
        return event.value or 0

    def destroy_event(self, event: int) -> None:
        """Frees an event."""
        self._call("cuEventDestroy_v2", event, fine=(_DEINITIALIZED,))

    def copy(self, target: int, source: int, byte_size: int, stream: int) -> None:
        """Begins a copy from device memory to device memory."""
        self._call("cuMemcpyDtoDAsync_v2", target, source, byte_size, stream)

    def upload(self, target: int, source: npt.NDArray[np.generic]) -> None:
        """Copies an array to device memory, and waits."""
        source = np.ascontiguousarray(source)
        self._call("cuMemcpyHtoD_v2", target, source.ctypes.data, source.nbytes)

    def download(self, target: npt.NDArray[np.generic], source: int) -> None:
        """Copies device memory to a contiguous array, and waits."""
        if not target.flags.c_contiguous:
            raise FrameFormatError(f"expected a contiguous array; got strides {target.strides}")
        self._call("cuMemcpyDtoH_v2", target.ctypes.data, source, target.nbytes)

    def record(self, event: int, stream: int) -> None:
        """Puts the event behind all that the stream has to do."""
        self._call("cuEventRecord", event, stream)

    def finished(self, event: int) -> bool:
        """Whether the stream has passed the event. On Windows, where the driver gathers
        work, asking also hands it to the card."""
        return self._call("cuEventQuery", event, fine=(_NOT_READY,)) == _SUCCESS

    def wait(self, event: int) -> None:
        """Waits until the stream has passed the event."""
        self._call("cuEventSynchronize", event)

    def _call(self, name: str, *arguments: Any, fine: tuple[int, ...] = ()) -> int:
        """As _check, in the primary context; the thread keeps the context it had."""
        if not self._context:
            raise CudaError("the driver is closed: make a new CudaDriver")
        pushed = self._check("cuCtxPushCurrent_v2", self._context, fine=fine)
        if pushed != _SUCCESS:
            return pushed
        try:
            return self._check(name, *arguments, fine=fine)
        finally:
            self._functions["cuCtxPopCurrent_v2"](byref(c_void_p()))

    def _check(self, name: str, *arguments: Any, fine: tuple[int, ...] = ()) -> int:
        """The call's result code; CudaError unless it is success or one of these."""
        code = self._functions[name](*arguments)
        if code == _SUCCESS or code in fine:
            return code
        text = ctypes.c_char_p()
        self._functions["cuGetErrorName"](code, byref(text))
        known = (text.value or b"an unknown error").decode()
        advice = _CALL_ADVICE.get((name, code)) or _ADVICE.get(
            code, f"update the NVIDIA driver, or {INSTEAD}"
        )
        raise CudaError(f"{name} gave {known} ({code}): {advice}")
