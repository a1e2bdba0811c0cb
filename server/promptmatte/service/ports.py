"""The ports that a show opens: which there are, and which of them somebody has already."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promptmatte.endpoint import Endpoint
from promptmatte.links.zmq_sockets import ZmqAddress
from promptmatte.service.port_holder import port_holder

LISTENING = {"osc": "udp", "metrics": "tcp", "web": "tcp"}
"""Options of serve that listen at PORT or HOST:PORT."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port to be opened; purpose: the option or link that wants it."""

    host: str
    number: int
    protocol: str
    purpose: str

    def is_taken(self) -> bool:
        """Whether it cannot be opened now, by a try; False too for a host that is not ours."""
        try:
            found = socket.getaddrinfo(
                self.host, self.number, flags=socket.AI_PASSIVE,
                type=socket.SOCK_STREAM if self.protocol == "tcp" else socket.SOCK_DGRAM,
            )  # fmt: skip
        except OSError:
            return False
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as tried:
            if sys.platform == "win32":
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            elif kind == socket.SOCK_STREAM:  # else the rests of old connections count
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(address)
            except OSError as error:
                # Windows says the latter where the other program keeps the port to itself.
                return error.errno == errno.EADDRINUSE or (
                    sys.platform == "win32" and error.errno == errno.EACCES
                )
        return False

    def taken_by(self) -> str:
        """One line about a port that is taken: what for, and by whom or how to find that."""
        return (
            f"expected {self.protocol.upper()} port {self.number} of {self.host} to be free for "
            f"{self.purpose}; got: it is taken by {port_holder(self.number, self.protocol)}"
        )


def ports_of(settings: Mapping[str, Any]) -> list[Port]:
    """The ports that settings of serve, by the name of their argument, open; ConfigError."""
    links = [*(settings.get("out") or []), settings.get("source") or ""]
    ports = []
    for link in dict.fromkeys(link for link in links if link.startswith("zmq:")):
        link_at = ZmqAddress.parse(link)
        ports += [
            Port(
                host=link_at.host,
                number=link_at.port + offset,
                protocol="tcp",
                purpose=str(link_at),
            )
            for offset in (-1, 0, 1)
        ]
    for name, protocol in LISTENING.items():
        if settings.get(name) is not None:
            place = Endpoint.parsed(str(settings[name]), option=f"--{name}")
            ports.append(
                Port(host=place.host, number=place.port, protocol=protocol, purpose=f"--{name}")
            )
    return [port for port in ports if port.number]  # 0: any that is free
