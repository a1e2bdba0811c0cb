"""Pictures of a Shared Mem Out TOP.

Nothing in the memory counts pictures. What the sender shows is a new frame when its header or
a checksum over a sparse sample of its pixels differs from the last one, so an equal picture, or
one that changed in a speck of some dozen pixels only, is none; a camera's noise always is one.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from promptmatte_shm.errors import LayoutError, SessionNotFoundError, ShmError

from promptmatte.frame import Frame, FrameInfo
from promptmatte.links.touch_layout import (
    CORE_BYTES,
    INFO_BYTES,
    SUPPORTED_AT,
    Pixels,
    RowOrder,
    TouchHeader,
    TouchInfo,
    data_name,
    frame_pixels,
    info_name,
    mutex_name,
)
from promptmatte.links.touch_memory import LOCK_S, Block, NamedMemory, held

logger = logging.getLogger(__name__)

LET_GO_NS = 500_000_000
"""A sender that shows nothing new for this long is let go of and only looked at now and then:
on Windows a killed one could not make its memory again as long as another end holds it."""

LOOK_NS = 100_000_000
"""Between two looks for a sender that is not there, or was let go of."""


@dataclass(frozen=True, kw_only=True)
class _Sight:
    """What lies in the sender's memory: where, under which header, and a sample of it."""

    postfix: str
    core: bytes
    sample: int
    header: TouchHeader


class TouchReader:
    """The pictures of a Shared Mem Out TOP; used by one thread at a time.

    received: pictures taken. rejected: memory that cannot be opened, infos and headers that
    fail a check, each state once. changed_ns: when the last picture came.
    """

    def __init__(
        self, name: str, memory: NamedMemory, row_order: RowOrder, clock: Callable[[], int]
    ) -> None:
        self.received = 0
        self.rejected = 0
        self.changed_ns: int | None = None
        self._name = name
        self._memory = memory
        self._row_order = row_order
        self._clock = clock
        self._info_mutex = memory.mutex(mutex_name(info_name(name)))
        self._mutex = memory.mutex(mutex_name(data_name(name)))
        self._info: Block | None = None
        self._data: Block | None = None
        self._told: tuple[bytes, TouchInfo] | None = None
        self._postfix = ""
        self._seen: _Sight | None = None
        self._refused = b""
        self._stream_id = 0
        self._seq = 0
        self._look_ns = 0

    def poll(self) -> Frame | None:
        """The picture that lies there, if it is a new one."""
        now_ns = self._clock()
        if self._data is None and now_ns < self._look_ns:
            return None
        frame = None
        try:
            data = self._attached()
            if data is not None:
                frame = self._new_picture(data, now_ns)
        except SessionNotFoundError:
            if self._seen is not None:
                logger.info("touch:%s: the sender has gone", self._name)
            self._seen = None
            self.let_go()
        except ShmError as error:  # it may be another user's
            self._refuse(str(error).encode(), error)
            self.let_go()
        if self.changed_ns is None or now_ns - self.changed_ns >= LET_GO_NS:
            self.let_go()
        self._look_ns = now_ns + LOOK_NS
        return frame

    def let_go(self) -> None:
        """Holds none of the sender's memory any more."""
        self._info = self._data = None

    def close(self) -> None:
        """Lets go of the names too; safe to call twice."""
        self.let_go()
        self._info_mutex.close()
        self._mutex.close()

    def _attached(self) -> Block | None:
        """The memory that the sender's info names now; None when it cannot be told yet.
        SessionNotFoundError if there is no sender."""
        if self._info is None:
            self._info = self._memory.open(info_name(self._name))
        info = self._current_info(self._info)
        if info is None:
            return None
        if info.detached:
            raise SessionNotFoundError(f"the sender {self._name} has gone")
        if self._data is None or info.postfix != self._postfix:
            self._data, self._postfix = None, info.postfix
            self._data = self._memory.open(data_name(self._name, info.postfix))
        return self._data

    def _current_info(self, block: Block) -> TouchInfo | None:
        """The info, whose sender then knows that this end follows it; None while it cannot
        be read."""
        if self._told is not None and self._told[0] == block.view[:INFO_BYTES]:
            return self._told[1]
        with held(self._info_mutex, LOCK_S) as ours:
            if not ours:
                return None
            raw = bytes(block.view[:INFO_BYTES])
            if not any(raw):
                return None
            try:
                info = TouchInfo.unpack(raw)
            except LayoutError as error:
                self._refuse(raw, error)
                return None
            if not info.supported:
                block.view[SUPPORTED_AT] = 1
            self._told = bytes(block.view[:INFO_BYTES]), info
        return info

    def _new_picture(self, data: Block, now_ns: int) -> Frame | None:
        with suppress(LayoutError):  # it may be half-written: looked at without the mutex
            if self._sight(data) == self._seen:
                return None
        with held(self._mutex, LOCK_S) as ours:
            if not ours:
                return None
            core = bytes(data.view[:CORE_BYTES])
            if not any(core):
                return None
            try:
                sight = self._sight(data)
            except LayoutError as error:
                self._refuse(core, error)
                return None
            if sight == self._seen:
                return None
            copied = sight.header.copied(data.view)
        return self._frame(sight, copied, now_ns)

    def _sight(self, data: Block) -> _Sight:
        core = bytes(data.view[:CORE_BYTES])
        header = TouchHeader.unpack(core, data.size)
        sample = header.fingerprint(data.view)
        return _Sight(postfix=self._postfix, core=core, sample=sample, header=header)

    def _frame(self, sight: _Sight, copied: Pixels, now_ns: int) -> Frame:
        seen, self._seen = self._seen, sight
        if seen is None or (seen.postfix, seen.core) != (sight.postfix, sight.core):
            self._stream_id, self._seq = secrets.randbits(63), 0
            logger.info("touch:%s: pictures of %s", self._name, sight.header)
        info = FrameInfo(
            stream_id=self._stream_id, seq=self._seq, pts_ns=now_ns, captured_ns=now_ns
        )
        self._seq += 1
        self._refused = b""
        self.received += 1
        self.changed_ns = now_ns
        return Frame(info=info, pixels=frame_pixels(copied, self._row_order))

    def _refuse(self, raw: bytes, error: ShmError) -> None:
        if raw == self._refused:
            return
        if not self._refused:
            logger.warning("touch:%s: %s", self._name, error)
        self._refused = raw
        self.rejected += 1
