"""The server's end of a session: frames in, mattes out, commands answered."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from dataclasses import asdict
from typing import Any

import numpy.typing as npt

from promptmatte_shm.channel import ChannelReader, ChannelWriter
from promptmatte_shm.directory import Channel, Directory
from promptmatte_shm.errors import SessionBusyError, ShmError
from promptmatte_shm.frame import Frame, Matte
from promptmatte_shm.lockfile import LockFile
from promptmatte_shm.mailbox import Handler, MailboxServer
from promptmatte_shm.pace import Lookout, Pace
from promptmatte_shm.pulse import Pulse
from promptmatte_shm.ring import ReadCounts, checked_slot_count
from promptmatte_shm.segment import checked_name
from promptmatte_shm.slot import SlotHeader
from promptmatte_shm.status import LinkStatus

logger = logging.getLogger(__name__)

DEFAULT_SLOTS = 4
_BEAT_S = 0.1
_MAILBOX_POLL_S = 0.004
_CLIENT_SILENCE_S = 2.0


class ServerSession:
    """Owns a session's name and memory. Use as a context manager or call close().

    A lock file that the system frees when its holder dies says whether the session is
    in use; what a killed server left behind is taken over. Safe to use from several
    threads.
    """

    def __init__(self, name: str, *, slot_count: int = DEFAULT_SLOTS) -> None:
        """SessionNameError, SessionBusyError, LayoutError, or ShmError without memory."""
        self.name = checked_name(name)
        checked_slot_count(slot_count)
        self._lock_file = LockFile(name, "server")
        if not self._lock_file.acquire():
            raise SessionBusyError(
                f"session {name!r} is in use by another server: stop it or take another name"
            )
        try:
            self._directory = Directory.own(name)
        except ShmError:
            self._lock_file.release()
            raise
        self._counts = ReadCounts()
        self._sent = 0
        self._mattes = ChannelWriter(self._directory, Channel.MATTES, slot_count)
        self._frames = ChannelReader(self._directory, Channel.FRAMES, self._counts, skip_old=True)
        self._lookout = Lookout()
        self._mailbox = MailboxServer(self._directory)
        self._clients = Pulse(_CLIENT_SILENCE_S)
        self._connected = False
        self._stop = threading.Event()
        self._server: threading.Thread | None = None
        self._heart = threading.Thread(
            target=self._beat, name=f"promptmatte-shm-heartbeat-{name}", daemon=True
        )
        self._heart.start()
        atexit.register(self.close)
        logger.info("session %s opened", name)

    def _beat(self) -> None:
        while not self._stop.is_set():
            self._directory.beat()
            connected = self._clients.look(self._directory.visitors)
            if connected != self._connected:
                self._connected = connected
                logger.info("session %s: %s", self.name, "a client" if connected else "no client")
            self._stop.wait(_BEAT_S)

    def send_matte(self, matte: Matte) -> None:
        """Publishes a matte for all readers; never waits. FrameFormatError if it cannot
        be carried, ShmError if there is no memory for its size."""
        self._check_open()
        if self._mattes.write(SlotHeader.of_matte(matte), matte.alpha, matte.fill):
            self._sent += 1

    def latest_frame(
        self, timeout_s: float = 0.0, *, out: npt.NDArray[Any] | None = None
    ) -> Frame | None:
        """The newest unseen frame of the newest sender; None when none came in time.

        The pixels are copied once, into `out` when its shape and dtype fit.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._check_open()
            self._lookout.look()
            picture = self._frames.latest(out, with_fill=False)
            if picture is not None:
                self._lookout.came()
                return picture.header.frame(picture.pixels)
            if not self._lookout.wait(deadline_s):
                return None

    def serve(self, handler: Handler) -> None:
        """Starts answering requests on a thread of its own, once. An exception of the
        handler is logged and becomes {"ok": false, "error": ...}."""
        self._check_open()
        if self._server is not None:
            raise ShmError(f"session {self.name!r} already serves: call serve() once")
        self._server = threading.Thread(
            target=self._answer,
            args=(handler,),
            name=f"promptmatte-shm-mailbox-{self.name}",
            daemon=True,
        )
        self._server.start()

    def _answer(self, handler: Handler) -> None:
        pace = Pace(self._stop)
        while not self._stop.is_set():
            pace.begin()
            if self._mailbox.poll(handler):
                pace.rest()
            else:
                self._stop.wait(_MAILBOX_POLL_S)

    @property
    def status(self) -> LinkStatus:
        """Counters so far; connected: a client has called in the last two seconds."""
        counts = asdict(self._counts)
        counts["rejected"] += self._mailbox.rejected
        return LinkStatus(connected=self._connected, sent=self._sent, **counts)

    def _check_open(self) -> None:
        if self._stop.is_set():
            raise ShmError(f"session {self.name!r} is closed: open a new one")

    def close(self) -> None:
        """Ends the threads and removes the session's memory; safe to call twice and
        from the handler."""
        if self._stop.is_set():
            return
        self._stop.set()
        atexit.unregister(self.close)
        for thread in (self._heart, self._server):
            if thread is not None and thread is not threading.current_thread():
                thread.join()
        self._mattes.close()
        self._directory.retire()
        self._lock_file.release()
        logger.info("session %s closed", self.name)

    def __enter__(self) -> ServerSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
