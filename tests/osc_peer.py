"""An OSC 1.0 client written from the specification alone, for the tests of the server's."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

DEADLINE_S = 300.0


def padded(data: bytes) -> bytes:
    """An OSC string: at least one zero, to a multiple of four bytes."""
    return data + b"\0" * (4 - len(data) % 4)


def message(address: str, *values: Any, types: str | None = None) -> bytes:
    """A message; types: tags such as "fi", guessed without."""
    guessed = {bool: "", int: "i", float: "f", str: "s", bytes: "b"}
    tags = types or "".join(
        ("T" if value else "F") if isinstance(value, bool) else guessed[type(value)]
        for value in values
    )
    body = b""
    for tag, value in zip(tags, values, strict=True):
        match tag:
            case "s":
                body += padded(value.encode())
            case "b":
                body += struct.pack(">i", len(value)) + value + b"\0" * (-len(value) % 4)
            case "i" | "f" | "d" | "h":
                body += struct.pack(">" + {"h": "q"}.get(tag, tag), value)
    return padded(address.encode()) + padded(b"," + tags.encode()) + body


def bundle(*elements: bytes) -> bytes:
    """A bundle, to be acted on at once."""
    sized = b"".join(struct.pack(">i", len(element)) + element for element in elements)
    return b"#bundle\0" + struct.pack(">Q", 1) + sized


def decoded(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Address and arguments of a message; AssertionError if it is not to the letter."""
    assert len(data) % 4 == 0
    address, at = _text(data, 0)
    tags, at = _text(data, at)
    assert address.startswith("/")
    assert tags.startswith(",")
    values: list[Any] = []
    for tag in tags[1:]:
        if tag == "s":
            value, at = _text(data, at)
        else:
            assert tag in "if", tag
            (value,), at = struct.unpack_from(">" + tag, data, at), at + 4
        values.append(value)
    assert at == len(data)
    return address, tuple(values)


def _text(data: bytes, start: int) -> tuple[str, int]:
    end = data.index(b"\0", start)
    after = end + 4 - end % 4
    assert not data[end:after].strip(b"\0")
    return data[start:end].decode(), after


class OscPeer:
    """Sends to a server and keeps the last value of every address that came back."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.values: dict[str, tuple[Any, ...]] = {}

    @property
    def port(self) -> int:
        """Where it is answered."""
        port: int = self.socket.getsockname()[1]
        return port

    def __enter__(self) -> OscPeer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, address: str, *values: Any, types: str | None = None) -> None:
        """Sends one message below /promptmatte/."""
        self.send_raw(message(f"/promptmatte/{address}", *values, types=types))

    def send_raw(self, data: bytes) -> None:
        """Sends one datagram."""
        self.socket.sendto(data, self._server)

    def receive(self) -> tuple[str, tuple[Any, ...]] | None:
        """The next message below /promptmatte/, None when none came for a while."""
        try:
            address, values = decoded(self.socket.recv(65536))
        except (TimeoutError, ConnectionError):  # Windows tells of a server that is not there yet
            return None
        name = address.removeprefix("/promptmatte/")
        self.values[name] = values
        return name, values

    def wait_for(
        self, name: str, fits: Callable[..., bool], *, saying: tuple[Any, ...] = ("subscribe",)
    ) -> tuple[Any, ...]:
        """The values of an address once they fit."""
        return self.wait_until(
            lambda: name in self.values and fits(*self.values[name]), saying=saying
        )[name]

    def wait_until(
        self, fits: Callable[[], bool], *, saying: tuple[Any, ...] = ("subscribe",)
    ) -> dict[str, tuple[Any, ...]]:
        """All values once they fit; says a message again and again, as UDP may lose it."""
        end = time.monotonic() + DEADLINE_S
        due = 0.0
        while not fits():
            assert time.monotonic() < end, f"expected other values; got {self.values}"
            if time.monotonic() > due:
                due = time.monotonic() + 2.0
                self.send(*saying)
            self.receive()
        return self.values
