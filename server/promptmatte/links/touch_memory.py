"""Memory and mutexes that processes find by name, as TouchDesigner's Shared Mem TOPs do.

On Windows these are the system's own, by the calls that TouchDesigner makes. Elsewhere it is
a twin of the same behaviour over POSIX memory and lock files: TouchDesigner for macOS locks
with a mutex of its own kind inside the memory and is not met by it.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from promptmatte_shm.errors import LayoutError, SessionNotFoundError, ShmError
from promptmatte_shm.lockfile import LockFile
from promptmatte_shm.segment import Segment, unlink

NAME_CHARS = 29 if sys.platform == "darwin" else 250
_POLL_S = 0.0005

LOCK_S = 0.005
"""A mutex that is not free by then costs the picture, never the time of a frame."""


class Block(Protocol):
    """Mapped memory; it is unmapped when nobody holds its view any more."""

    size: int
    view: memoryview


class NamedMutex(Protocol):
    """A lock between processes that the system frees when its holder dies."""

    def acquire(self, timeout_s: float) -> bool:
        """Whether this thread now holds it; waits at most timeout_s."""
        ...

    def release(self) -> None:
        """Frees what this thread acquired."""
        ...

    def close(self) -> None:
        """Lets go of the name; safe to call twice."""
        ...


class NamedMemory(Protocol):
    """What a system offers."""

    meets_touchdesigner: bool

    def create(self, name: str, size: int, *, adopt: bool = False) -> Block:
        """A block of zeros, whose name lives at least as long as the block; with `adopt`
        one that is there already and no smaller. LayoutError if the name is taken,
        ShmError if there is no room."""
        ...

    def open(self, name: str) -> Block:
        """Another's block; SessionNotFoundError if there is none, ShmError if it is kept
        from us."""
        ...

    def remove(self, name: str) -> None:
        """Frees the name of a block that was created here, or left by a dead process."""
        ...

    def mutex(self, name: str) -> NamedMutex:
        """The mutex of this name, made if there is none."""
        ...


@contextmanager
def held(mutex: NamedMutex, timeout_s: float) -> Iterator[bool]:
    """Holds the mutex meanwhile; False if it could not be had in time."""
    ours = mutex.acquire(timeout_s)
    try:
        yield ours
    finally:
        if ours:
            mutex.release()


if sys.platform == "win32":

    def system_memory() -> NamedMemory:
        """What this system offers."""
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        return WindowsMemory(kernel32, ctypes.get_last_error, ctypes.set_last_error)

else:

    def system_memory() -> NamedMemory:
        """What this system offers."""
        return PosixMemory()


def posix_name(name: str, most_chars: int = NAME_CHARS) -> str:
    """The name of a segment in POSIX memory: a digest where macOS has no room for the name."""
    if len(name) <= most_chars:
        return name
    return f"TouchSHM{hashlib.blake2s(name.encode(), digest_size=10).hexdigest()}"


class PosixMemory:
    """The twin for Linux and macOS. What a killed process leaves stays until it is removed."""

    meets_touchdesigner = False

    def create(self, name: str, size: int, *, adopt: bool = False) -> Segment:
        """See NamedMemory."""
        try:
            return Segment.create(posix_name(name), size)
        except LayoutError:
            if not adopt:
                raise
        return Segment.attach(posix_name(name), size)

    def open(self, name: str) -> Segment:
        """See NamedMemory."""
        return Segment.attach(posix_name(name), 1)

    def remove(self, name: str) -> None:
        """See NamedMemory."""
        unlink(posix_name(name))

    def mutex(self, name: str) -> PosixMutex:
        """See NamedMemory."""
        return PosixMutex(name)


class PosixMutex:
    """A lock file that is asked for again and again until the time is over."""

    def __init__(self, name: str) -> None:
        self._file = LockFile(name, "touch")

    def acquire(self, timeout_s: float) -> bool:
        """See NamedMutex."""
        deadline_s = time.monotonic() + timeout_s
        while not self._file.acquire():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_POLL_S)
        return True

    def release(self) -> None:
        """See NamedMutex."""
        self._file.release()

    def close(self) -> None:
        """Holds nothing beyond the lock."""


_PAGE_READWRITE = 0x04
_FILE_MAP_WRITE_READ = 0x0002 | 0x0004
_INVALID_HANDLE = ctypes.c_void_p(-1).value
_ERROR_FILE_NOT_FOUND = 2
_ERROR_ALREADY_EXISTS = 183
_WAIT_OBJECT_0 = 0x00
_WAIT_ABANDONED = 0x80


class _Region(ctypes.Structure):
    """MEMORY_BASIC_INFORMATION."""

    _fields_ = (
        ("base_address", ctypes.c_void_p),
        ("allocation_base", ctypes.c_void_p),
        ("allocation_protect", ctypes.c_uint32),
        ("region_size", ctypes.c_size_t),
        ("state", ctypes.c_uint32),
        ("protect", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
    )


# Not those of ctypes.wintypes: outside Windows they have other sizes.
_HANDLE, _DWORD, _BOOL = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int
_SIZE, _POINTER, _TEXT = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_wchar_p
_PROTOTYPES: dict[str, tuple[type, tuple[type, ...]]] = {
    "CreateFileMappingW": (_HANDLE, (_HANDLE, _POINTER, _DWORD, _DWORD, _DWORD, _TEXT)),
    "OpenFileMappingW": (_HANDLE, (_DWORD, _BOOL, _TEXT)),
    "MapViewOfFile": (_POINTER, (_HANDLE, _DWORD, _DWORD, _DWORD, _SIZE)),
    "UnmapViewOfFile": (_BOOL, (_POINTER,)),
    "VirtualQuery": (_SIZE, (_POINTER, ctypes.POINTER(_Region), _SIZE)),
    "CreateMutexW": (_HANDLE, (_POINTER, _BOOL, _TEXT)),
    "WaitForSingleObject": (_DWORD, (_HANDLE, _DWORD)),
    "ReleaseMutex": (_BOOL, (_HANDLE,)),
    "CloseHandle": (_BOOL, (_HANDLE,)),
}


class WindowsMemory:
    """Page-file backed sections and mutexes in the session's own name space."""

    meets_touchdesigner = True

    def __init__(
        self, kernel32: Any, last_error: Callable[[], int], set_last_error: Callable[[int], int]
    ) -> None:
        """kernel32: the library, loaded to keep each thread's last error for last_error()."""
        for function, (result, arguments) in _PROTOTYPES.items():
            getattr(kernel32, function).restype = result
            getattr(kernel32, function).argtypes = arguments
        self._kernel32 = kernel32
        self._last_error = last_error
        self._set_last_error = set_last_error

    def create(self, name: str, size: int, *, adopt: bool = False) -> Block:
        """See NamedMemory."""
        self._set_last_error(0)
        handle = self._kernel32.CreateFileMappingW(
            _INVALID_HANDLE, None, _PAGE_READWRITE, size >> 32, size & 0xFFFF_FFFF, name
        )
        error = self._last_error()
        if not handle:
            raise ShmError(
                f"expected room for {size} bytes of shared memory in {name!r}; "
                f"got Windows error {error}"
            )
        if error == _ERROR_ALREADY_EXISTS and not adopt:
            self._kernel32.CloseHandle(handle)
            raise LayoutError(f"expected the shared memory name {name!r} to be free")
        block = self._mapped(name, handle)
        # The system forgets the name with its last handle, so this one lasts as long as the view.
        block.when_unmapped(self._kernel32.CloseHandle, handle)
        if block.size < size:
            raise LayoutError(f"expected at least {size} bytes in {name!r}; got {block.size}")
        return block

    def open(self, name: str) -> Block:
        """See NamedMemory."""
        handle = self._kernel32.OpenFileMappingW(_FILE_MAP_WRITE_READ, False, name)
        if not handle:
            error = self._last_error()
            if error != _ERROR_FILE_NOT_FOUND:
                raise ShmError(f"cannot open shared memory {name!r}: Windows error {error}")
            raise SessionNotFoundError(f"no shared memory named {name!r}")
        block = self._mapped(name, handle)
        # The view keeps the memory; a handle would keep the name from a sender that restarts.
        self._kernel32.CloseHandle(handle)
        return block

    def remove(self, name: str) -> None:
        """Nothing to do: the system forgets the name with its last handle."""

    def mutex(self, name: str) -> WindowsMutex:
        """See NamedMemory."""
        handle = self._kernel32.CreateMutexW(None, False, name)
        if not handle:
            raise ShmError(f"cannot make the mutex {name!r}: Windows error {self._last_error()}")
        return WindowsMutex(self._kernel32, handle)

    def _mapped(self, name: str, handle: int) -> _View:
        address = self._kernel32.MapViewOfFile(handle, _FILE_MAP_WRITE_READ, 0, 0, 0)
        if not address:
            error = self._last_error()
            self._kernel32.CloseHandle(handle)
            raise ShmError(f"cannot map the shared memory {name!r}: Windows error {error}")
        region = _Region()
        self._kernel32.VirtualQuery(address, ctypes.byref(region), ctypes.sizeof(region))
        view = _View(address, region.region_size)
        view.when_unmapped(self._kernel32.UnmapViewOfFile, address)
        return view


class _View:
    """A mapped view of a section."""

    def __init__(self, address: int, size: int) -> None:
        self._content = (ctypes.c_ubyte * size).from_address(address)
        self.size = size
        self.view = memoryview(self._content).cast("B")

    def when_unmapped(self, call: Callable[[int], object], argument: int) -> None:
        """Calls this when the last view has gone."""
        # At the end of the process the system does it, whoever still looks.
        weakref.finalize(self._content, call, argument).atexit = False


class WindowsMutex:
    """A mutex of the system, held by a thread."""

    def __init__(self, kernel32: Any, handle: int) -> None:
        self._kernel32 = kernel32
        self._handle: int | None = handle

    def acquire(self, timeout_s: float) -> bool:
        """See NamedMutex. A mutex whose holder died is ours like any other."""
        result = self._kernel32.WaitForSingleObject(self._handle, round(timeout_s * 1000))
        return result in (_WAIT_OBJECT_0, _WAIT_ABANDONED)

    def release(self) -> None:
        """See NamedMutex."""
        self._kernel32.ReleaseMutex(self._handle)

    def close(self) -> None:
        """See NamedMutex."""
        if self._handle is not None:
            self._kernel32.CloseHandle(self._handle)
            self._handle = None
