"""The ZeroMQ link: mattes, frames and commands between programs over TCP.

Plain on loopback, with CURVE (promptmatte.links.keys) on every other address.

Of three ports beside each other the middle one is the address. Multipart messages:

- control (port - 1), ROUTER: [mark, command] is answered by [mark, answer]. The mark
  is 0 to 16 bytes of the client's choice, so a plain REQ socket works too.
- mattes (port), PUB: [b"matte", header, pixels], and the fill as a fourth part when the
  matte has one. The last one is sent again, with the same serial, when a reader comes and
  four times a second while there is no new one, so that all get it and hear that the
  server lives. Before the first matte [b"beat"] says so.
- frames (port + 1), PULL: [header, pixels].

Headers, commands and the checks of all that arrives are those of promptmatte.links.wire.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import zmq
from promptmatte_shm.pace import Pace

from promptmatte.errors import CommandError, LinkError
from promptmatte.frame import Frame, Matte
from promptmatte.links import wire
from promptmatte.links.newest import Newest
from promptmatte.links.protocol import CommandHandler, LinkStatus
from promptmatte.links.reply import answer
from promptmatte.links.wire import Stamp, WireError
from promptmatte.links.zmq_sockets import Socket, ZmqAddress, ZmqSockets, buffers, receive

logger = logging.getLogger(__name__)

ALIVE_S = 2.0
_BEAT_EVERY_S = 0.25
_TICK_MS = 50
_MATTE = b"matte"
_BEAT = b"beat"
_MAX_MARK_BYTES = 16
_MOST_EVENTS = 64


class ZmqServerLink:
    """The engine's end: binds the three ports; an own thread keeps the newest frame."""

    def __init__(self, address: str) -> None:
        """Opens the link; ConfigError for an unusable address or one that needs keys that are not
        there, LinkError for a taken port."""
        place = ZmqAddress.parse(address)
        self._address = address
        self._sockets = ZmqSockets(place, serves=True)
        try:
            self._control = self._sockets.bind(zmq.ROUTER, place, -1)
            # XPUB is PUB that also tells who subscribes.
            self._mattes = self._sockets.bind(zmq.XPUB, place, 0)
            self._mattes.setsockopt(zmq.XPUB_VERBOSE, 1)
            self._frames = self._sockets.bind(zmq.PULL, place, 1)
        except LinkError:
            self._sockets.close()
            raise
        self._newest: Newest[Frame] = Newest()
        self._rejected = _Rejections()
        self._matte_lock = threading.Lock()
        self._sender = secrets.randbits(63)
        self._last_message: list[bytes | memoryview] = [_BEAT]
        self._sent = 0
        self._sent_at_beat = 0
        self._beat_at_s = 0.0
        self._topics: set[bytes] = set()
        self._stop = threading.Event()
        self._pace = Pace(self._stop)
        self._threads: list[threading.Thread] = []
        self._start("promptmatte-zmq-frames", self._receive_frame)
        logger.info("zmq link open at %s (control %d)", place, place.port - 1)

    @property
    def address(self) -> str:
        """The address as typed."""
        return self._address

    @property
    def status(self) -> LinkStatus:
        """Counters so far; connected: somebody has subscribed to the mattes."""
        return LinkStatus(
            connected=bool(self._topics) and not self._stop.is_set(),
            sent=self._sent,
            received=self._newest.received,
            missed=self._newest.missed,
            rejected=self._rejected.count,
        )

    def latest_frame(self, timeout_s: float = 0.0) -> Frame | None:
        """The newest unseen frame a client sent; None when none came in time."""
        return self._newest.take(timeout_s)

    def send_matte(self, matte: Matte) -> None:
        """Publishes a matte without a copy; readers that are not ready for it go without."""
        with self._matte_lock:
            if self._stop.is_set():
                raise LinkError(f"expected an open link; {self._address} was closed")
            header = wire.encode_matte(matte, Stamp(sender=self._sender, serial=self._sent))
            self._last_message = [_MATTE, header, wire.pixel_bytes(matte.alpha)]
            if matte.fill is not None:
                self._last_message.append(wire.pixel_bytes(matte.fill))
            self._mattes.send_multipart(self._last_message, zmq.DONTWAIT, copy=False)
            self._sent += 1

    def serve(self, handler: CommandHandler) -> None:
        """Starts answering commands on a thread of the link's own, once."""
        name = "promptmatte-zmq-control"
        if any(thread.name == name for thread in self._threads):
            raise LinkError(f"expected one handler for {self._address}; got a second")
        self._start(name, lambda: self._answer_one(handler))

    def close(self) -> None:
        """Stops the threads and frees the ports; not from within the handler."""
        with self._matte_lock:
            self._stop.set()
        self._newest.close(f"expected an open link; {self._address} was closed")
        for thread in self._threads:
            thread.join()
        self._sockets.close()

    def _start(self, name: str, step: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._work, args=(step,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, step: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                step()
        except Exception as error:
            logger.exception("%s failed", threading.current_thread().name)
            self._newest.close(f"the link {self._address} failed: {error}")

    def _receive_frame(self) -> None:
        self._repeat_matte()
        if not self._frames.poll(_TICK_MS):
            return
        parts = receive(self._frames, 2)
        try:
            header, pixels = buffers(parts, 2, 2)
            self._newest.offer(*wire.decode_frame(header, pixels))
        except WireError as error:
            self._rejected.add(f"frame on {self._address}", error)

    def _repeat_matte(self) -> None:
        """Sends the last message again to a new reader, and to all when there was no other."""
        is_due = time.monotonic() >= self._beat_at_s
        with self._matte_lock:
            if self._has_new_reader() or (is_due and self._sent == self._sent_at_beat):
                self._mattes.send_multipart(self._last_message, zmq.DONTWAIT, copy=False)
            if is_due:
                self._sent_at_beat = self._sent
                self._beat_at_s = time.monotonic() + _BEAT_EVERY_S

    def _has_new_reader(self) -> bool:
        """Reads the events of the matte socket: 1 or 0, somebody wants or nobody does, a topic."""
        was_read = bool(self._topics)
        somebody_came = False
        for _ in range(_MOST_EVENTS):
            if not self._mattes.poll(0):
                break
            event = self._mattes.recv(zmq.DONTWAIT)
            if event[:1] == b"\x01" and _MATTE.startswith(event[1:]):
                somebody_came = True
                self._topics.add(event[1:])
            elif event[:1] == b"\x00":
                self._topics.discard(event[1:])
        if was_read != bool(self._topics):
            logger.info("%s: %s", self._address, "is read" if self._topics else "no reader left")
        return somebody_came

    def _answer_one(self, handler: CommandHandler) -> None:
        if not self._control.poll(_TICK_MS):
            return
        self._pace.begin()
        self._answer_next(handler)
        self._pace.rest()

    def _answer_next(self, handler: CommandHandler) -> None:
        parts = receive(self._control, 3)
        peer = f"command on {self._address}"
        try:
            _, mark, body = buffers(parts, 3, 3)
            if len(mark) > _MAX_MARK_BYTES:
                raise WireError(
                    f"expected a mark of up to {_MAX_MARK_BYTES} bytes; got {len(mark)}"
                )
        except WireError as error:
            self._rejected.add(peer, error)
            return
        try:
            reply = answer(handler, wire.decode_command(body))
        except WireError as error:
            self._rejected.add(peer, error)
            reply = {"ok": False, "error": str(error)}
        try:
            packed = wire.encode_command(reply)
        except WireError:
            logger.exception("an answer that cannot be sent")
            packed = wire.encode_command({"ok": False, "error": "internal error"})
        self._control.send_multipart([parts[0], parts[1], packed], zmq.DONTWAIT)


class ZmqClientLink:
    """A reader's or compositor's end: connects, and again whenever the server comes back.

    An own thread keeps the newest matte and hands over a frame that had to wait.
    """

    def __init__(self, address: str) -> None:
        """Opens the link, with or without a server there; ConfigError for a bad address or one
        that needs keys that are not there."""
        self._place = ZmqAddress.parse(address)
        self._sockets = ZmqSockets(self._place, serves=False)
        self._control: Socket | None = None
        self._mattes = self._sockets.connect(zmq.SUB, self._place, 0)
        self._mattes.subscribe(_MATTE)
        self._mattes.subscribe(_BEAT)
        self._frames = self._sockets.connect(zmq.PUSH, self._place, 1)
        self._newest: Newest[Matte] = Newest()
        self._rejected = _Rejections()
        self._request_lock = threading.Lock()
        self._requests = 0
        self._frame_lock = threading.Lock()
        self._waiting_frame: list[bytes | memoryview] | None = None
        self._sender = secrets.randbits(63)
        self._serial = 0
        self._sent = 0
        self._replaced = 0
        self._heard_s = float("-inf")
        self._was_connected = False
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="promptmatte-zmq-mattes", daemon=True
        )
        self._thread.start()

    @property
    def status(self) -> LinkStatus:
        """Counters so far; connected: heard a matte or heartbeat in the last two seconds.

        missed counts mattes that were not read and frames that were replaced unsent.
        """
        return LinkStatus(
            connected=self._is_connected(),
            sent=self._sent,
            received=self._newest.received,
            missed=self._newest.missed + self._replaced,
            rejected=self._rejected.count,
        )

    def send_frame(self, frame: Frame) -> None:
        """Hands the server a frame without a copy; one it cannot take yet waits for the next."""
        with self._frame_lock:
            if self._stop.is_set():
                raise LinkError(f"expected an open link; {self._place} was closed")
            header = wire.encode_frame(frame, Stamp(sender=self._sender, serial=self._serial))
            self._serial += 1
            self._replaced += self._waiting_frame is not None
            self._waiting_frame = [header, wire.pixel_bytes(frame.pixels)]
            self._push_waiting_frame()

    def latest_matte(self, timeout_s: float = 0.0, *, with_fill: bool = True) -> Matte | None:
        """The newest unseen matte, without its fill if so wanted; None when none came in time."""
        matte = self._newest.take(timeout_s)
        return matte if matte is None or with_fill else replace(matte, fill=None)

    def request(self, command: Mapping[str, Any], timeout_s: float = 2.0) -> dict[str, Any]:
        """The server's answer to a command.

        LinkError when there is none in time, CommandError for one that cannot be sent.
        """
        try:
            body = wire.encode_command(command)
        except WireError as error:
            raise CommandError(str(error)) from error
        with self._request_lock:
            if self._stop.is_set():
                raise LinkError(f"expected an open link; {self._place} was closed")
            if self._control is None:
                self._control = self._sockets.connect(zmq.DEALER, self._place, -1)
            self._requests += 1
            mark = self._requests.to_bytes(8, "big")
            self._control.send_multipart([mark, body], zmq.DONTWAIT)
            deadline_s = time.monotonic() + timeout_s
            while self._control.poll(max(0, int((deadline_s - time.monotonic()) * 1000))):
                parts = receive(self._control, 2)
                if parts[0].bytes == mark:
                    return wire.decode_command(buffers(parts, 2, 2)[1])
            # A new socket, so that this command is not delivered to a later server.
            self._sockets.drop(self._control)
            self._control = None
        raise LinkError(
            f"expected a PromptMatte server at {self._place}; got no answer in {timeout_s:g} s: "
            "is `promptmatte serve` running?"
        )

    def close(self) -> None:
        """Stops the thread and frees the sockets; safe to call twice."""
        with self._frame_lock, self._request_lock:
            self._stop.set()
        self._newest.close(f"expected an open link; {self._place} was closed")
        self._thread.join()
        self._sockets.close()

    def _is_connected(self) -> bool:
        return not self._stop.is_set() and time.monotonic() - self._heard_s < ALIVE_S

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._receive_matte()
        except Exception as error:
            logger.exception("%s failed", threading.current_thread().name)
            self._newest.close(f"the link to {self._place} failed: {error}")

    def _receive_matte(self) -> None:
        if self._waiting_frame is not None:
            with self._frame_lock:
                self._push_waiting_frame()
        if self._mattes.poll(_TICK_MS):
            parts = receive(self._mattes, 4)
            try:
                if len(parts) > 1 or parts[0].bytes != _BEAT:
                    _, *matte = buffers(parts, 3, 4)
                    self._newest.offer(*wire.decode_matte(*matte))
                self._heard_s = time.monotonic()
            except WireError as error:
                self._rejected.add(f"matte from {self._place}", error)
        connected = self._is_connected()
        if connected != self._was_connected:
            self._was_connected = connected
            logger.info("%s %s", "connected to" if connected else "lost", self._place)

    def _push_waiting_frame(self) -> None:
        """Sends the waiting frame if the server can take it; with the frame lock held."""
        if self._waiting_frame is None:
            return
        try:
            self._frames.send_multipart(self._waiting_frame, zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return
        self._waiting_frame = None
        self._sent += 1


class _Rejections:
    """Counts arrivals that failed a check and logs the first of each second."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._log_at_s = 0.0

    def add(self, what: str, error: WireError) -> None:
        """Counts one arrival that was thrown away."""
        with self._lock:
            self.count += 1
            now_s = time.monotonic()
            if now_s >= self._log_at_s:
                self._log_at_s = now_s + 1.0
                logger.warning("rejected a %s (%d so far): %s", what, self.count, error)
