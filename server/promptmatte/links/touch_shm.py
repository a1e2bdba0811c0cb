"""TouchDesigner's own Shared Mem Out and Shared Mem In TOPs as a link, without a component.

Frames come from a Shared Mem Out TOP called NAME, alphas go to a Shared Mem In TOP called
NAME_matte and fills to one called NAME_fill, each with its memory type set to Local. The
link carries no commands and no identities: a matte cannot say which frame it belongs to,
and the two In TOPs may be one picture apart.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

from promptmatte_shm.lockfile import LockFile

from promptmatte.errors import ConfigError, LinkError
from promptmatte.frame import Frame, Matte
from promptmatte.links.protocol import CommandHandler, LinkStatus
from promptmatte.links.shm import link_errors
from promptmatte.links.touch_layout import ROW_ORDER, RowOrder
from promptmatte.links.touch_memory import NamedMemory, system_memory
from promptmatte.links.touch_reader import TouchReader
from promptmatte.links.touch_writer import TouchWriter

logger = logging.getLogger(__name__)

SCHEME = "touch:"

PACE_S = 0.002
"""Between two looks: at most 500 frames a second, far above TouchDesigner's rate."""

ALIVE_NS = 2_000_000_000


def touch_name(address: str) -> str:
    """The name in touch:NAME; ConfigError for another kind of address."""
    name = address.removeprefix(SCHEME)
    if not address.startswith(SCHEME) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ConfigError(
            "expected touch:NAME with the Shared Mem Name of a TOP, 1 to 64 letters, digits, "
            f"'_', '.' or '-'; got {address[:80]!r}"
        )
    return name


class TouchShmServerLink:
    """The engine's end: reads the Shared Mem Out TOP NAME, writes NAME_matte and NAME_fill.

    An alpha of one channel is sent as 8-bit red, which a TOP shows as grey; of four, as RGBA.
    A fill stays as it was when mattes come without one. Safe to use from several threads.
    """

    def __init__(
        self,
        address: str,
        *,
        row_order: RowOrder = ROW_ORDER,
        memory: NamedMemory | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """row_order: how the memory holds a picture, both ways; clock: monotonic nanoseconds.
        ConfigError for an unusable address, LinkError if another server has the name."""
        self._address = address
        name = touch_name(address)
        memory = memory or system_memory()
        if not memory.meets_touchdesigner:
            logger.warning(
                "%s meets TouchDesigner on Windows only: use shm: with the component here", address
            )
        self._clock = clock
        self._lock_file = LockFile(f"touch.{name}", "server")
        with link_errors():
            if not self._lock_file.acquire():
                raise LinkError(f"{address} is in use by another server: stop it or rename it")
            self._reader = TouchReader(name, memory, row_order, clock)
            self._alpha = TouchWriter(f"{name}_matte", memory, row_order)
            self._fill = TouchWriter(f"{name}_fill", memory, row_order)
        self._sent = 0
        self._missed = 0
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._closed = threading.Event()

    @property
    def address(self) -> str:
        """The address as typed."""
        return self._address

    @property
    def status(self) -> LinkStatus:
        """Counters so far. connected: a new picture came in the last two seconds; a reader
        of the mattes gives no sign of life. missed: mattes not shown, or not in whole, as a
        reader held a mutex."""
        changed_ns = self._reader.changed_ns
        return LinkStatus(
            connected=not self._closed.is_set()
            and changed_ns is not None
            and self._clock() - changed_ns < ALIVE_NS,
            sent=self._sent,
            received=self._reader.received,
            missed=self._missed,
            rejected=self._reader.rejected,
        )

    def latest_frame(self, timeout_s: float = 0.0) -> Frame | None:
        """The picture the sender shows, if it is a new one; None when none came in time.

        Its info is made here: a new stream_id for every opening and resize, seq counting the
        pictures that were seen, pts_ns and captured_ns the time they were.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            with self._reading, link_errors():
                self._check_open()
                frame = self._reader.poll()
            left_s = deadline_s - time.monotonic()
            if frame is not None or left_s <= 0:
                return frame
            self._closed.wait(min(left_s, PACE_S))

    def send_matte(self, matte: Matte) -> None:
        """Shows a matte; never waits longer than a few milliseconds. LinkError if there is
        no memory for its size."""
        with self._writing, link_errors():
            self._check_open()
            whole = self._alpha.put(matte.alpha)
            if matte.fill is not None:
                whole = self._fill.put(matte.fill) and whole
            if whole:
                self._sent += 1
            else:
                self._missed += 1

    def serve(self, handler: CommandHandler) -> None:  # noqa: ARG002  every link has it
        """Does nothing: Shared Mem TOPs carry pictures only, so commands need another link."""
        self._check_open()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise LinkError(f"{self._address} is closed: open a new link")

    def close(self) -> None:
        """Tells the readers that it goes and frees its memory; safe to call twice."""
        self._closed.set()
        with self._reading:
            self._reader.close()
        with self._writing:
            self._alpha.close()
            self._fill.close()
        self._lock_file.release()
