"""Pictures for a Shared Mem In TOP."""

from __future__ import annotations

from contextlib import suppress

from promptmatte_shm.errors import LayoutError

from promptmatte.links.touch_layout import (
    DETACHED_AT,
    INFO_BYTES,
    Pixels,
    RowOrder,
    TouchInfo,
    data_name,
    info_name,
    mutex_name,
    new_postfix,
    stored,
)
from promptmatte.links.touch_memory import LOCK_S, Block, NamedMemory, held

_TRIES = 8


class TouchWriter:
    """Pictures for a Shared Mem In TOP; used by one thread at a time."""

    def __init__(self, name: str, memory: NamedMemory, row_order: RowOrder) -> None:
        self._name = name
        self._memory = memory
        self._row_order = row_order
        self._info_mutex = memory.mutex(mutex_name(info_name(name)))
        self._mutex = memory.mutex(mutex_name(data_name(name)))
        self._info: Block | None = None
        self._data: Block | None = None
        self._postfix = ""
        self._data_bytes = 0

    def put(self, pixels: Pixels) -> bool:
        """Shows the picture; False if a reader held the mutex too long. ShmError if there is
        no memory for it, FrameFormatError if it is too large for TouchDesigner."""
        header, rows = stored(pixels, self._row_order)
        # Held for a resize too, so that nobody finds memory without a picture.
        with held(self._mutex, LOCK_S) as ours:
            if not ours:
                return False
            if self._data is None or header.segment_bytes != self._data_bytes:
                self._data = self._resized(header.segment_bytes)
            if self._data is None:
                return False
            packed = header.pack()
            self._data.view[: len(packed)] = packed
            header.pixels_in(self._data.view)[:] = rows
        return True

    def _resized(self, size: int) -> Block | None:
        """Memory of this size, named in the info; None if its mutex was not free."""
        if self._info is None:
            # It is there already after a kill: a reader that still holds it follows it again.
            self._info = self._memory.create(info_name(self._name), INFO_BYTES, adopt=True)
        with held(self._info_mutex, LOCK_S) as ours:
            if not ours:
                return None
            told = TouchInfo(supported=False, postfix="", detached=False)
            with suppress(LayoutError):
                told = TouchInfo.unpack(bytes(self._info.view[:INFO_BYTES]))
            self._data = None
            self._memory.remove(data_name(self._name, told.postfix))
            # A reader finds memory under a new name by the info; a late one may look without
            # a postfix first, so the name is only changed when one has come that follows it.
            postfix = new_postfix() if told.supported else told.postfix
            data, postfix = self._created(postfix, size)
            self._postfix, self._data_bytes = postfix, size
            packed = TouchInfo(supported=told.supported, postfix=postfix, detached=False).pack()
            self._info.view[:INFO_BYTES] = packed
        return data

    def _created(self, postfix: str, size: int) -> tuple[Block, str]:
        for _ in range(_TRIES - 1):
            with suppress(LayoutError):
                return self._memory.create(data_name(self._name, postfix), size), postfix
            postfix = new_postfix()
        return self._memory.create(data_name(self._name, postfix), size), postfix

    def close(self) -> None:
        """Tells readers that this sender has gone and frees its memory; safe to call twice."""
        if self._info is not None:
            # Also without the mutex: the byte is told whole.
            with held(self._info_mutex, LOCK_S):
                self._info.view[DETACHED_AT] = 1
            self._memory.remove(data_name(self._name, self._postfix))
            self._memory.remove(info_name(self._name))
        self._info = self._data = None
        self._info_mutex.close()
        self._mutex.close()
