"""A client's end of a session: frames out, mattes in, requests."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy.typing as npt

from promptmatte_shm.channel import ChannelReader, ChannelWriter
from promptmatte_shm.directory import Channel, Directory
from promptmatte_shm.errors import LayoutError, SessionNotFoundError, ShmError
from promptmatte_shm.frame import Frame, Matte
from promptmatte_shm.mailbox import ask, packed
from promptmatte_shm.pace import POLL_S, Lookout
from promptmatte_shm.pulse import Pulse
from promptmatte_shm.ring import ReadCounts, checked_slot_count
from promptmatte_shm.segment import checked_name
from promptmatte_shm.server_session import DEFAULT_SLOTS
from promptmatte_shm.slot import SlotHeader
from promptmatte_shm.status import LinkStatus

logger = logging.getLogger(__name__)

_SERVER_SILENCE_S = 1.0
_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class _Connection:
    """All that belongs to one mapped directory."""

    directory: Directory
    epoch: int
    heartbeat: Pulse
    frames: ChannelWriter
    mattes: ChannelReader


class ClientSession:
    """Joins a session by name, before or after its server, and joins again when the
    server has been restarted. Never creates or removes what a server owns. Use as a
    context manager or call close(). Safe to use from several threads.
    """

    def __init__(self, name: str, *, slot_count: int = DEFAULT_SLOTS) -> None:
        """SessionNameError for a name that is not portable; no server is needed yet."""
        self.name = checked_name(name)
        self._slot_count = checked_slot_count(slot_count)
        self._counts = ReadCounts()
        self._sent = 0
        self._lookout = Lookout()
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._refusal: str | None = None
        self._next_look_s = 0.0
        self._connected = False
        self._closed = False
        atexit.register(self.close)

    def send_frame(self, frame: Frame) -> None:
        """Hands the server a frame; never waits. Dropped when there is no server or a
        newer sender has the session. FrameFormatError if it cannot be carried."""
        connection = self._current()
        if connection and connection.frames.write(SlotHeader.of_frame(frame), frame.pixels):
            self._sent += 1

    def latest_matte(
        self,
        timeout_s: float = 0.0,
        *,
        out: npt.NDArray[Any] | None = None,
        with_fill: bool = True,
        fill_out: npt.NDArray[Any] | None = None,
    ) -> Matte | None:
        """The newest unseen matte; None when none came in time.

        The alpha is copied once, into `out` when its shape and dtype fit, and so is its
        fill, into `fill_out`. with_fill=False: Matte.fill is None, whatever was sent, and
        costs nothing.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            connection = self._current()
            self._lookout.look()
            # A server that shows no life at all left only the mattes of its past.
            if connection and self._connected:
                picture = connection.mattes.latest(out, with_fill=with_fill, fill_out=fill_out)
                if picture is not None:
                    self._lookout.came()
                    return picture.header.matte(picture.pixels, picture.fill)
            if not self._lookout.wait(deadline_s):
                return None

    def request(self, command: Mapping[str, Any], timeout_s: float = 2.0) -> dict[str, Any]:
        """The server's answer to a JSON object.

        SessionNotFoundError when there is no server, LayoutError when it is of another
        version, RequestTimeoutError when it does not answer in time, MessageTooLargeError
        over 64 KiB.
        """
        payload = packed(command)
        deadline_s = time.monotonic() + timeout_s
        while (connection := self._current()) is None:
            if time.monotonic() >= deadline_s:
                if self._refusal is not None:
                    raise LayoutError(self._refusal)
                raise SessionNotFoundError(
                    f"expected a server in session {self.name!r}; found none: start it with "
                    f"--out shm:{self.name}, or check the name"
                )
            time.sleep(POLL_S)
        return ask(connection.directory, payload, deadline_s)

    @property
    def status(self) -> LinkStatus:
        """Counters so far; connected: the server's heart has been seen to beat."""
        if not self._closed:
            self._current()
        return LinkStatus(
            connected=self._connected and not self._closed,
            sent=self._sent,
            **asdict(self._counts),
        )

    def _current(self) -> _Connection | None:
        """The connection to the present server, joined again when that one has changed."""
        with self._lock:
            if self._closed:
                raise ShmError(f"session {self.name!r} is closed: open a new one")
            connection = self._connection
            alive = False
            if connection is not None and not connection.directory.closed:
                connection.directory.visit()
                alive = connection.heartbeat.look(connection.directory.heartbeat)
            # A heart that beats again may be another server's, in the memory of a killed one.
            resumed = alive and not self._connected
            if resumed or (not alive and time.monotonic() >= self._next_look_s):
                self._next_look_s = time.monotonic() + _LOOK_AGAIN_S
                self._join()
                alive = alive and self._connection is connection
            if alive != self._connected:
                self._connected = alive
                logger.info(
                    "session %s: %s", self.name, "connected" if alive else "server is silent"
                )
            return self._connection

    def _join(self) -> None:
        old = self._connection
        try:
            directory = Directory.attach(self.name)
            epoch = directory.epoch()
        except ShmError as error:
            self._refuse(str(error) if isinstance(error, LayoutError) else None)
            if old is not None and old.directory.closed:
                self._leave()
            return
        self._refuse(None)
        if old is not None and old.epoch == epoch and not old.directory.closed:
            return
        self._leave()
        self._connection = _Connection(
            directory=directory,
            epoch=epoch,
            heartbeat=Pulse(_SERVER_SILENCE_S),
            frames=ChannelWriter(directory, Channel.FRAMES, self._slot_count),
            mattes=ChannelReader(directory, Channel.MATTES, self._counts, skip_old=False),
        )
        self._connection.heartbeat.look(directory.heartbeat)

    def _refuse(self, because: str | None) -> None:
        """Remembers why the directory that is there cannot be used, None if it can."""
        if because is not None and because != self._refusal:
            logger.warning("%s", because)
        self._refusal = because

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.frames.close()
            self._connection = None

    def close(self) -> None:
        """Leaves the session and removes its own frames; safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._leave()
        atexit.unregister(self.close)

    def __enter__(self) -> ClientSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
