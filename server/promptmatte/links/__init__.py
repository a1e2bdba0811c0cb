"""Links between the server and other programs, opened by address."""

from __future__ import annotations

from promptmatte.errors import ConfigError
from promptmatte.links.protocol import ClientLink, CommandHandler, LinkStatus, ServerLink
from promptmatte.vendors.address import VendorAddress, is_vendor_address

__all__ = [
    "ClientLink",
    "CommandHandler",
    "LinkStatus",
    "ServerLink",
    "normalized_address",
    "open_client_link",
    "open_server_link",
]

# Each kind is imported when it is asked for, so that one works where the other cannot.


def open_server_link(address: str) -> ServerLink:
    """The engine's end of shm:NAME, zmq:tcp://HOST:PORT, touch:NAME or cuda:NAME.

    ConfigError for an address that cannot be used, LinkError for one that is taken.
    """
    match _kind(address):
        case "shm":
            from promptmatte.links.shm import ShmServerLink

            return ShmServerLink(address)
        case "touch":
            from promptmatte.links.touch_shm import TouchShmServerLink

            return TouchShmServerLink(address)
        case "cuda":
            from promptmatte.links.cuda_ipc import CudaServerLink

            return CudaServerLink(address)
        case _:
            from promptmatte.links.zmq import ZmqServerLink

            return ZmqServerLink(address)


def open_client_link(address: str) -> ClientLink:
    """The other end of shm:NAME or zmq:tcp://HOST:PORT, with or without a server there yet.

    ConfigError for an address that cannot be used.
    """
    match _kind(address):
        case "shm":
            from promptmatte.links.shm import ShmClientLink

            return ShmClientLink(address)
        case "touch":
            raise ConfigError(
                f"expected a link that carries commands, shm:NAME or zmq:tcp://HOST:PORT; got "
                f"{address[:80]!r}: TouchDesigner's Shared Mem TOPs carry pictures only"
            )
        case "cuda":
            raise ConfigError(
                f"expected a link that carries commands, shm:NAME or zmq:tcp://HOST:PORT; got "
                f"{address[:80]!r}: it carries pictures only, to promptmatte_shm.cuda_client"
            )
        case _:
            from promptmatte.links.zmq import ZmqClientLink

            return ZmqClientLink(address)


def normalized_address(address: str) -> str:
    """The one full form of an address of --out, e.g. of zmq:; ConfigError if it cannot be used."""
    if is_vendor_address(address):
        return str(VendorAddress.parse(address))
    match _kind(address):
        case "shm":
            from promptmatte.links.shm import SCHEME, session_name

            return SCHEME + session_name(address)
        case "touch":
            from promptmatte.links.touch_shm import SCHEME, touch_name

            return SCHEME + touch_name(address)
        case "cuda":
            from promptmatte.links.cuda_ipc import SCHEME, session_name

            return SCHEME + session_name(address)
        case _:
            from promptmatte.links.zmq_sockets import ZmqAddress

            return str(ZmqAddress.parse(address))


def _kind(address: str) -> str:
    kind, separator, _ = address.partition(":")
    if separator and kind in ("shm", "zmq", "touch", "cuda"):
        return kind
    raise ConfigError(
        "expected a link such as shm:NAME or zmq:tcp://127.0.0.1:5571, touch:NAME for "
        "TouchDesigner's Shared Mem TOPs, cuda:NAME for a program on the same NVIDIA card, or, for "
        "cut-outs without commands, ndi:NAME, spout:NAME, syphon:NAME or virtualcam:; "
        f"got {address[:80]!r}"
    )
