"""A Shared Mem Out TOP and a Shared Mem In TOP, for the tests of the link to them.

Both write and read the memory by the published layout, none of it by the code under test;
only the system's named memory and mutexes are shared with it.
"""

from __future__ import annotations

import itertools
import random
import secrets
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from links_testing import Child, wait_for
from promptmatte.frame import Frame
from promptmatte.links.touch_memory import Block, NamedMemory, system_memory
from promptmatte.links.touch_shm import TouchShmServerLink
from promptmatte_shm.errors import SessionNotFoundError

SHM = Path("/dev/shm")
BGRA8, R8 = 44, 9


class Sender:
    """What a Shared Mem Out TOP makes and writes."""

    def __init__(self, name: str, memory: NamedMemory | None = None) -> None:
        self.memory = memory or system_memory()
        self.name = name
        self.data_name = f"TouchSHM{name}"
        self.info_name = f"TouchSHMTouchSHM{name}4jhd783h"
        self.mutex = self.memory.mutex(f"TouchSHM{name}Mutex")
        self.info_mutex = self.memory.mutex(f"TouchSHMTouchSHM{name}4jhd783hMutex")
        self.memory.remove(self.info_name)
        self.info = self.memory.create(self.info_name, 76)
        self.info.view[:76] = struct.pack("<II?x64s?x", 0x56ED34BA, 2, False, bytes(64), False)
        self.data: Block | None = None
        self.size = 0

    def resize(self, size: int) -> None:
        """Another block: under a new name once a receiver has said that it follows the info."""
        assert self.info_mutex.acquire(5.0)
        self.data = None
        self.memory.remove(self.data_name)
        if self.info.view[8]:
            postfix = "".join(random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(31))
            self.data_name = f"TouchSHM{self.name}{postfix}"
            self.info.view[10:72] = postfix.encode("utf-16-le")
        self.data = self.memory.create(self.data_name, size)
        self.size = size
        self.info_mutex.release()

    def show(
        self, code: int, width: int, height: int, data: bytes, version: int = 1, offset: int = 0
    ) -> None:
        """A picture whose bytes lie as given."""
        offset = offset or {1: 48, 2: 56}[version]
        if self.size != offset + len(data):
            self.resize(offset + len(data))
        assert self.data is not None
        assert self.mutex.acquire(5.0)
        fields = (0xD95EF835, version, width, height, 1.0, 1.0, code, len(data), offset)
        struct.pack_into("<IIiiffI4xqi", self.data.view, 0, *fields)
        if version == 2:
            struct.pack_into("<II", self.data.view, 44, 2, 1)
        self.data.view[offset : offset + len(data)] = data
        self.mutex.release()

    def grey(self, value: int, width: int = 6, height: int = 4) -> None:
        """One value everywhere."""
        self.show(R8, width, height, bytes([value]) * (width * height))

    def go(self) -> None:
        """Its end: told to the receivers, then the memory freed."""
        self.info.view[74] = 1
        self.memory.remove(self.info_name)
        self.memory.remove(self.data_name)
        del self.info
        self.data = None


class Receiver:
    """What a Shared Mem In TOP reads."""

    def __init__(self, name: str, memory: NamedMemory | None = None) -> None:
        self.memory = memory or system_memory()
        self.name = name
        self.mutex = self.memory.mutex(f"TouchSHM{name}Mutex")
        self.info = wait_for(self._info)
        self.postfix: str | None = None
        self.data: Block | None = None

    def _info(self) -> Block | None:
        try:
            info = self.memory.open(f"TouchSHMTouchSHM{self.name}4jhd783h")
        except SessionNotFoundError:
            return None
        info.view[8] = 1
        return info

    @property
    def detached(self) -> bool:
        return bool(self.info.view[74])

    def look(self) -> tuple[tuple[Any, ...], np.ndarray]:
        """The header's fields and the pixels in the order in which they lie."""
        assert self.mutex.acquire(5.0)
        assert struct.unpack_from("<II", self.info.view) == (0x56ED34BA, 2)
        postfix = bytes(self.info.view[10:74]).decode("utf-16-le").partition("\0")[0]
        if postfix != self.postfix:
            self.postfix = postfix
            self.data = self.memory.open(f"TouchSHM{self.name}{postfix}")
        assert self.data is not None
        fields = struct.unpack_from("<IIiiffI4xqi", self.data.view)
        magic, version, width, height, _, _, code, size, offset = fields
        raw = bytes(self.data.view[offset : offset + size])
        self.mutex.release()
        assert (magic, version, offset) == (0xD95EF835, 1, 48)
        dtype, channels = {9: ("u1", 1), 37: ("u1", 4), 97: ("<f2", 4), 109: ("<f4", 4)}[code]
        return (width, height, code), np.frombuffer(raw, dtype).reshape(height, width, channels)


def changing(name: str, width: int, height: int, pause_s: float = 0.01) -> None:
    """A sender in a process of its own: noise that always changes."""
    sender = Sender(name)
    rng = np.random.default_rng(9)
    for count in itertools.count():
        noise = rng.integers(0, 256, (height, width, 4), np.uint8)
        sender.show(BGRA8, width, height, noise.tobytes(), version=2)
        if count == 0:
            print("ready", flush=True)
        time.sleep(pause_s)


def restless(name: str) -> None:
    """A sender in a process of its own: another size, one grey and its negative, every time."""
    sender = Sender(name)
    for count in itertools.count(1):
        width, height, value = 50 + count % 7, 40 + count % 5, count % 256
        row = bytes([value, 255 - value]) * width
        sender.show(R8, 2 * width, height, row * height, version=1 + count % 2)
        if count == 1:
            print("ready", flush=True)
        time.sleep(0.001)


def stuck(name: str) -> None:
    """A program that holds both mutexes of a sender until it is killed."""
    memory = system_memory()
    names = (f"TouchSHM{name}Mutex", f"TouchSHMTouchSHM{name}4jhd783hMutex")
    kept = [memory.mutex(mutex) for mutex in names]
    assert all(mutex.acquire(5.0) for mutex in kept)
    print("ready", flush=True)
    time.sleep(600)


def child(role: Callable[..., None], *arguments: object) -> Child:
    """This role in another process, once it is ready."""
    code = f"import touch_peer; touch_peer.{role.__name__}(*{arguments!r})"
    process = Child("-c", code)
    assert process.line() == "ready"
    return process


def fresh_name() -> Iterator[str]:
    """A name nobody uses; fails if the test leaves a server's memory behind."""
    name = f"t{secrets.token_hex(4)}"
    yield name
    left = sorted(path.name for path in SHM.glob(f"TouchSHM*{name}*")) if SHM.is_dir() else []
    for segment in left:
        (SHM / segment).unlink()
    for path in Path(tempfile.gettempdir()).glob(f"promptmatte_shm.*{name}*"):
        path.unlink()
    assert [segment for segment in left if "_matte" in segment or "_fill" in segment] == []


def next_frame(link: TouchShmServerLink, wanted: Callable[[Frame], bool] = lambda f: True) -> Frame:
    """The next frame that is wanted."""

    def look() -> Frame | None:
        frame = link.latest_frame(0.2)
        return frame if frame is not None and wanted(frame) else None

    return wait_for(look)
