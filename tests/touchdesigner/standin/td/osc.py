"""OSC messages as bytes, and who sent them. OSC In DAT; Peer Class."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from .errors import refuse
from .guard import Guarded

if TYPE_CHECKING:
    from .operators import OP


class Peer(Guarded):
    """Where a message came from."""

    def __init__(self, owner: OP, address: str, port: int) -> None:
        self._owner, self._address, self._port = owner, address, port

    owner = property(lambda peer: peer._owner)
    address = property(lambda peer: peer._address)
    port = property(lambda peer: peer._port)
    hostname = property(lambda peer: peer._address)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (4 - len(data) % 4)


def encode(address: str, values: tuple[Any, ...]) -> tuple[bytes, str]:
    """(the message as bytes, its type tag)."""
    tag, body = "", b""
    for value in values:
        if isinstance(value, bool):
            tag += "T" if value else "F"
        elif isinstance(value, int):
            tag, body = tag + "i", body + struct.pack(">i", value)
        elif isinstance(value, float):
            tag, body = tag + "f", body + struct.pack(">f", value)
        elif isinstance(value, str):
            tag, body = tag + "s", body + _padded(value.encode())
        else:
            refuse(f"OSC: expected a number or a string; got {value!r}")
    return _padded(address.encode()) + _padded(f",{tag}".encode()) + body, tag


def received(values: tuple[Any, ...]) -> list[Any]:
    """The values as they arrive: floats have 32 bits."""
    return [
        struct.unpack(">f", struct.pack(">f", v))[0] if isinstance(v, float) else v for v in values
    ]
