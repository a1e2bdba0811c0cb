"""A host and port of UDP, and the sockets for them."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from promptmatte.errors import ConfigError, shown

DEFAULT_PORT = 5573
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where OSC comes from or goes to."""

    host: str
    port: int

    @classmethod
    def parsed(cls, text: str, *, option: str, lowest_port: int = 1) -> Endpoint:
        """The endpoint that people type: 5573 (of this machine), 192.168.0.7:5573 or
        [::1]:5573; ConfigError, which names the option."""
        host, _, port = text.strip().rpartition(":")
        if not port.isascii() or not port.isdigit() or not lowest_port <= int(port) <= 65535:
            raise ConfigError(
                f"expected {option} as a port of {lowest_port} to 65535 or as HOST:PORT; "
                f"got {shown(text)}"
            )
        return cls(host=host.removeprefix("[").removesuffix("]") or LOOPBACK, port=int(port))

    @property
    def is_loopback(self) -> bool:
        """True if only programs of this machine reach it; ConfigError for an unknown host."""
        return ipaddress.ip_address(self._resolved()[1][0].partition("%")[0]).is_loopback

    def listening(self) -> socket.socket:
        """A socket bound here that never waits; ConfigError if that cannot be."""
        family, address = self._resolved()
        bound = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows lets others share it otherwise
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            bound.bind(address)
            bound.setblocking(False)
        except OSError as error:
            bound.close()
            raise ConfigError(
                f"cannot listen for OSC at {self.host}:{self.port}: {error.strerror}: another "
                "program may have that port; choose another with --osc PORT"
            ) from error
        return bound

    def sending(self) -> tuple[socket.socket, tuple[Any, ...]]:
        """A socket that never waits and the address to send to; ConfigError."""
        family, address = self._resolved()
        out = socket.socket(family, socket.SOCK_DGRAM)
        out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        out.setblocking(False)
        return out, address

    def _resolved(self) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"expected a host that is known; got {shown(self.host)}") from error
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return family, address
