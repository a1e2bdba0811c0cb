"""Named memory and mutexes: the twin elsewhere, and the calls to Windows against a stand-in."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import touch_peer
from links_testing import make_matte
from promptmatte.links.touch_memory import WindowsMemory, held, posix_name, system_memory
from promptmatte.links.touch_reader import LOOK_NS
from promptmatte.links.touch_shm import TouchShmServerLink
from promptmatte_shm.errors import LayoutError, SessionNotFoundError, ShmError
from touch_peer import Receiver, Sender, next_frame


@pytest.fixture
def name() -> Iterator[str]:
    yield from touch_peer.fresh_name()


def test_memory_is_made_opened_adopted_and_removed(name: str) -> None:
    memory = system_memory()
    block = memory.create(f"TouchSHM{name}", 100)
    block.view[99] = 7
    assert memory.open(f"TouchSHM{name}").view[99] == 7
    with pytest.raises(LayoutError, match="to be free"):
        memory.create(f"TouchSHM{name}", 100)
    assert memory.create(f"TouchSHM{name}", 100, adopt=True).view[99] == 7
    with pytest.raises(LayoutError, match="at least 9000"):
        memory.create(f"TouchSHM{name}", 9000, adopt=True)
    del block
    memory.remove(f"TouchSHM{name}")
    memory.remove(f"TouchSHM{name}")
    with pytest.raises(SessionNotFoundError):
        memory.open(f"TouchSHM{name}")


def test_a_mutex_is_held_by_one_at_a_time(name: str) -> None:
    memory = system_memory()
    one, other = memory.mutex(f"TouchSHM{name}Mutex"), memory.mutex(f"TouchSHM{name}Mutex")
    with ThreadPoolExecutor(1) as thread:
        with held(one, 0.1) as ours:
            assert ours
            assert not thread.submit(other.acquire, 0.01).result()
        assert thread.submit(other.acquire, 1.0).result()
        thread.submit(other.release).result()
    for mutex in (one, other):
        mutex.close()


def test_long_names_have_room_on_macos() -> None:
    name = "TouchSHMTouchSHM" + "x" * 70 + "4jhd783h"
    short = posix_name(name, 29)
    assert len("/" + short) < 31
    assert short == posix_name(name, 29) != posix_name(name + "x", 29)
    assert posix_name("TouchSHMTOPShm", 29) == "TouchSHMTOPShm"


class Function:
    """A function of a library: it takes what its argtypes take, as ctypes would."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.argtypes: tuple[Any, ...] = ()
        self.restype: Any = None

    def __call__(self, *arguments: Any) -> Any:
        assert len(arguments) == len(self.argtypes)
        for argument, kind in zip(arguments, self.argtypes, strict=True):
            kind.from_param(argument)
            if issubclass(kind, ctypes._SimpleCData) and isinstance(argument, int):
                assert kind(argument).value == (argument or kind().value)  # nothing is cut off
        return self._call(*arguments)


class Kernel32:
    """The named sections and mutexes of Windows, within this process."""

    def __init__(self) -> None:
        self.error = 0
        self.denied = ""
        self.handles: dict[int, str] = {}
        self.sections: dict[str, Any] = {}
        self.mapped: dict[int, list[Any]] = {}
        self.owners: dict[str, int] = {}
        self.numbers = itertools.count(0x1_0000_0004, 4)  # wider than 32 bits
        for call in (
            self.CreateFileMappingW, self.OpenFileMappingW, self.MapViewOfFile,
            self.UnmapViewOfFile, self.VirtualQuery, self.CreateMutexW,
            self.WaitForSingleObject, self.ReleaseMutex, self.CloseHandle,
        ):  # fmt: skip
            setattr(self, call.__name__, Function(call))

    def memory(self) -> WindowsMemory:
        return WindowsMemory(self, lambda: self.error, self.set_error)

    def set_error(self, error: int) -> int:
        before, self.error = self.error, error
        return before

    def _handle(self, name: str) -> int:
        handle = next(self.numbers)
        self.handles[handle] = name
        return handle

    def CreateFileMappingW(self, file, security, protect, high, low, name):  # noqa: N802
        assert (file, security, protect) == (2**64 - 1, None, 0x04)
        size = high << 32 | low
        if size > 1 << 30:
            self.error = 1455
            return None
        self.error = 183 if name in self.sections else 0
        self.sections.setdefault(name, (ctypes.c_ubyte * (-(-size // 4096) * 4096))())
        return self._handle(name)

    def OpenFileMappingW(self, access, inherit, name):  # noqa: N802
        assert (access, inherit) == (0x0006, False)
        if name == self.denied:
            self.error = 5
            return None
        self.error = 0 if name in self.sections else 2
        return self._handle(name) if name in self.sections else None

    def MapViewOfFile(self, handle, access, high, low, size):  # noqa: N802
        assert (access, high, low, size) == (0x0006, 0, 0, 0)
        section = self.sections[self.handles[handle]]
        self.mapped.setdefault(ctypes.addressof(section), []).append(section)
        return ctypes.addressof(section)

    def UnmapViewOfFile(self, address):  # noqa: N802
        self.mapped[address].pop()
        return True

    def VirtualQuery(self, address, region, size):  # noqa: N802
        assert size == ctypes.sizeof(region._obj) == 48
        region._obj.region_size = ctypes.sizeof(self.mapped[address][-1])
        return size

    def CreateMutexW(self, security, owned, name):  # noqa: N802
        assert (security, owned) == (None, False)
        return self._handle(f"mutex {name}")

    def WaitForSingleObject(self, handle, milliseconds):  # noqa: N802
        assert 0 < milliseconds <= 5000
        name = self.handles[handle]
        if name in self.owners:
            return 0x102
        self.owners[name] = handle
        return 0x80 if milliseconds == 1 else 0x00

    def ReleaseMutex(self, handle):  # noqa: N802
        del self.owners[self.handles[handle]]
        return True

    def CloseHandle(self, handle):  # noqa: N802
        name = self.handles.pop(handle)
        if name not in self.handles.values():
            self.sections.pop(name, None)
        return True


def test_on_windows_the_system_is_asked_as_touchdesigner_does(name: str) -> None:
    kernel32 = Kernel32()
    now = itertools.count(0, LOOK_NS)
    link = TouchShmServerLink(f"touch:{name}", memory=kernel32.memory(), clock=lambda: next(now))
    sender = Sender(name, kernel32.memory())
    sender.grey(3)
    frame = link.latest_frame()
    assert frame is not None
    assert (frame.pixels == 3).all()
    sender.grey(4, 100, 60)
    assert next_frame(link).size_hw == (60, 100)
    receiver = None
    for seq, size_hw in enumerate([(9, 7), (80, 90), (9, 7)]):
        link.send_matte(make_matte(seq, size_hw))
        receiver = receiver or Receiver(f"{name}_matte", kernel32.memory())
        np.testing.assert_array_equal(receiver.look()[1][::-1], make_matte(seq, size_hw).alpha)
    kernel32.owners[f"mutex TouchSHM{name}_matteMutex"] = 0
    link.send_matte(make_matte(4))
    assert (link.status.sent, link.status.missed) == (3, 1)
    del kernel32.owners[f"mutex TouchSHM{name}_matteMutex"]
    link.close()
    assert receiver.detached
    assert not [n for n in kernel32.sections if "_matte" in n]
    sender.go()
    assert kernel32.sections == {}
    receiver.data = None
    del receiver.info
    assert [views for views in kernel32.mapped.values() if views] == []
    assert {n for n in kernel32.handles.values() if not n.startswith("mutex")} == set()


def test_on_windows_a_reader_keeps_no_name(name: str) -> None:
    kernel32 = Kernel32()
    memory = kernel32.memory()
    block = memory.create(name, 100)
    reader = memory.open(name)
    block.view[5] = 7
    with pytest.raises(LayoutError, match="to be free"):
        memory.create(name, 100)
    assert memory.create(name, 100, adopt=True).view[5] == 7
    with pytest.raises(LayoutError, match="at least 5000"):
        memory.create(name, 5000, adopt=True)
    view = block.view
    del block
    assert name in kernel32.sections  # somebody still looks into it
    del view
    assert kernel32.sections == {}
    assert reader.view[5] == 7
    assert memory.create(name, 100).view[5] == 0
    memory.remove(name)
    with pytest.raises(SessionNotFoundError):
        memory.open("nothing")
    kernel32.denied = "elevated"
    with pytest.raises(ShmError, match="Windows error 5"):
        memory.open("elevated")
    with pytest.raises(ShmError, match="Windows error 1455"):
        memory.create("huge", 1 << 40)


def test_on_windows_a_mutex_waits_for_a_bounded_time() -> None:
    memory = Kernel32().memory()
    one, other = memory.mutex("m"), memory.mutex("m")
    assert one.acquire(0.005)
    assert not other.acquire(0.005)
    one.release()
    assert other.acquire(0.001)  # abandoned by a process that died: ours
    other.release()
    for mutex in (one, other):
        mutex.close()
        mutex.close()
