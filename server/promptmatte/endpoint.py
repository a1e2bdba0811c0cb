"""A host and port of a service, as people type them."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from promptmatte.errors import ConfigError, shown

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a service listens or something is sent; port 0 lets the system choose one."""

    host: str = LOOPBACK
    port: int

    @classmethod
    def parsed(cls, text: str, *, option: str, lowest_port: int = 0) -> Endpoint:
        """The endpoint in 5573 (of this machine), 192.168.0.7:5573 or [::1]:5573; ConfigError,
        which names the option."""
        host, separator, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        is_port = port.isascii() and port.isdigit() and lowest_port <= int(port[:6]) <= 65535
        if not is_port or (separator and not host):
            raise ConfigError(
                f"expected {option} as a port of {lowest_port} to 65535 or as HOST:PORT; "
                f"got {shown(text)}"
            )
        return cls(host=host or LOOPBACK, port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only programs of this machine reach it; ConfigError for an unknown host."""
        _, address = self.resolved(socket.SOCK_STREAM)
        return ipaddress.ip_address(address[0].partition("%")[0]).is_loopback

    def resolved(self, kind: socket.SocketKind) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
        """Family and address for a socket of a kind, IPv4 before IPv6; ConfigError."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=kind)
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"expected a host that is known; got {shown(self.host)}") from error
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return family, address
