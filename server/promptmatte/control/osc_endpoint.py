"""UDP sockets for OSC."""

from __future__ import annotations

import socket
from typing import Any

from promptmatte.endpoint import Endpoint
from promptmatte.errors import ConfigError

DEFAULT_PORT = 5573


def listening(endpoint: Endpoint) -> socket.socket:
    """A socket bound there that never waits; ConfigError if that cannot be."""
    family, address = endpoint.resolved(socket.SOCK_DGRAM)
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows lets others share it otherwise
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        bound.bind(address)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"cannot listen for OSC at {endpoint}: {error.strerror}: another program may have "
            "that port; choose another with --osc PORT"
        ) from error
    return bound


def sending(endpoint: Endpoint) -> tuple[socket.socket, tuple[Any, ...]]:
    """A socket that never waits and the address to send to; ConfigError."""
    family, address = endpoint.resolved(socket.SOCK_DGRAM)
    out = socket.socket(family, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    out.setblocking(False)
    return out, address
