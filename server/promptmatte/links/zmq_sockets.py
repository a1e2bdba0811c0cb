"""The address of a ZeroMQ server and the sockets that lead to it."""

from __future__ import annotations

import errno
import ipaddress
import re
from dataclasses import dataclass

import zmq

from promptmatte.errors import ConfigError, LinkError
from promptmatte.links import wire
from promptmatte.links.curve_gate import DOMAIN, CurveGate
from promptmatte.links.keys import KeyFolder, KeyPair, check_curve
from promptmatte.links.wire import WireError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 5571
_MAX_EVENT_BYTES = 1024
"""CURVE's handshake counts too: its longest command has some 300."""

Socket = zmq.Socket[bytes]

# Of each kind: messages that may wait, and bytes a part that arrives may have.
# Short picture queues keep a slow reader near the present.
_LIMITS = {
    zmq.ROUTER: (64, wire.MAX_COMMAND_BYTES),
    zmq.DEALER: (64, wire.MAX_COMMAND_BYTES),
    zmq.XPUB: (2, _MAX_EVENT_BYTES),
    zmq.SUB: (2, wire.MAX_PIXEL_BYTES),
    zmq.PUSH: (2, _MAX_EVENT_BYTES),
    zmq.PULL: (2, wire.MAX_PIXEL_BYTES),
}


@dataclass(frozen=True, kw_only=True)
class ZmqAddress:
    """Where a server is: its host and the port of its mattes."""

    host: str
    port: int

    @classmethod
    def parse(cls, address: str) -> ZmqAddress:
        """The address in zmq:tcp://HOST:PORT, or the default for zmq:; ConfigError if neither."""
        if address == "zmq:":
            return cls(host=DEFAULT_HOST, port=DEFAULT_PORT)
        match = re.fullmatch(r"zmq:tcp://([A-Za-z0-9._-]+):([0-9]{1,5})", address)
        if match is None:
            raise ConfigError(
                f"expected zmq:tcp://HOST:PORT such as zmq:tcp://{DEFAULT_HOST}:{DEFAULT_PORT}; "
                f"got {address[:80]!r}"
            )
        port = int(match[2])
        if not 2 <= port <= 65_534:
            raise ConfigError(
                f"expected a matte port of 2 to 65534, as the ports beside it are used too; "
                f"got {port} in {address!r}"
            )
        host = DEFAULT_HOST if match[1] == "localhost" else match[1]
        return cls(host=host, port=port)

    def __str__(self) -> str:
        return f"zmq:tcp://{self.host}:{self.port}"

    def endpoint(self, offset: int) -> str:
        """The ZeroMQ endpoint of the port this far from the matte port."""
        return f"tcp://{self.host}:{self.port + offset}"

    @property
    def is_loopback(self) -> bool:
        """True only if none but programs of this machine can be at its other end; a name, other
        than localhost, can lead anywhere."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class ZmqSockets:
    """The context and sockets of one link end, made alike and closed together.

    On a loopback address they talk plainly; on any other with CURVE only, both ways: the
    messages are encrypted, a server lets in the clients that it knows, and a client talks to the
    server that it knows. ConfigError without the keys for that.
    """

    def __init__(self, place: ZmqAddress, *, serves: bool) -> None:
        self._pair: KeyPair | None = None
        self._server_key: bytes | None = None
        keys: KeyFolder | None = None
        if not place.is_loopback:
            check_curve()
            keys = KeyFolder.from_environment()
            self._pair = keys.server_pair() if serves else keys.client_pair()
            self._server_key = None if serves else keys.server_public()
        self._context = zmq.Context()
        self._open: list[Socket] = []
        self._gate = CurveGate(self._context, keys) if serves and keys else None

    def bind(self, kind: zmq.SocketType, place: ZmqAddress, offset: int) -> Socket:
        """A socket bound to a port of the place; LinkError if it cannot be."""
        socket = self._make(kind)
        port = place.port + offset
        try:
            socket.bind(place.endpoint(offset))
        except zmq.ZMQError as error:
            if error.errno == errno.EADDRINUSE:
                other = place.port + 10 if place.port < 65_000 else DEFAULT_PORT
                raise LinkError(
                    f"expected port {port} of {place.host} to be free for {place}; got: it is "
                    "taken: stop the program that has it (another `promptmatte serve`?) or "
                    f"choose other ports, e.g. zmq:tcp://{place.host}:{other}"
                ) from error
            raise LinkError(
                f"expected to open port {port} of {place.host} for {place}; "
                f"got: {zmq.strerror(error.errno or 0)}: choose another address"
            ) from error
        return socket

    def connect(self, kind: zmq.SocketType, place: ZmqAddress, offset: int) -> Socket:
        """A socket that connects to a port of the place, now or as soon as there is a server."""
        socket = self._make(kind)
        # A frame waits at the sender, where a newer one replaces it, not in a queue.
        socket.immediate = kind == zmq.PUSH
        socket.connect(place.endpoint(offset))
        return socket

    def drop(self, socket: Socket) -> None:
        """Closes one socket and forgets what it had still to send."""
        self._open.remove(socket)
        socket.close(linger=0)

    def close(self) -> None:
        """Closes all of them; safe to call twice."""
        while self._open:
            self.drop(self._open[-1])
        if self._gate is not None:
            self._gate.close()
        self._context.term()

    def _make(self, kind: zmq.SocketType) -> Socket:
        socket = self._context.socket(kind)
        self._open.append(socket)
        queue, most_bytes = _LIMITS[kind]
        socket.linger = 0
        socket.set_hwm(queue)
        socket.maxmsgsize = most_bytes
        if self._pair is not None:
            self._encrypt(socket, self._pair)
        return socket

    def _encrypt(self, socket: Socket, pair: KeyPair) -> None:
        socket.curve_publickey, socket.curve_secretkey = pair.public, pair.secret
        if self._server_key is None:
            socket.curve_server = True
            socket.zap_domain = DOMAIN
        else:
            socket.curve_serverkey = self._server_key


def receive(socket: Socket, most_parts: int) -> list[zmq.Frame]:
    """The parts of one message that is there; of a longer one only one part too many."""
    parts: list[zmq.Frame] = []
    more = True
    while more:
        part = socket.recv(zmq.DONTWAIT, copy=False)
        more = part.more
        if len(parts) <= most_parts:
            parts.append(part)
    return parts


def buffers(parts: list[zmq.Frame], least: int, most: int) -> list[memoryview]:
    """The bytes of each part; WireError if there are more or fewer."""
    if not least <= len(parts) <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        at_least = "at least " if len(parts) > most else ""
        raise WireError(f"expected {expected} parts; got {at_least}{len(parts)}")
    return [part.buffer for part in parts]
