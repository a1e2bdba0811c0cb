"""What every link can do, on the server's side and on the side of its clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from promptmatte_shm.status import LinkStatus

from promptmatte.frame import Frame, Matte

__all__ = ["ClientLink", "CommandHandler", "LinkStatus", "ServerLink"]

CommandHandler = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Answers one command (a JSON object) with a JSON object; raises PromptMatteError to refuse."""


class ServerLink(Protocol):
    """The engine's end: frames in, mattes out, commands answered."""

    @property
    def address(self) -> str:
        """The address as typed, e.g. shm:promptmatte."""
        ...

    @property
    def status(self) -> LinkStatus:
        """Counters so far."""
        ...

    def latest_frame(self, timeout_s: float = 0.0) -> Frame | None:
        """The newest unseen frame a client sent; None when none came in time."""
        ...

    def send_matte(self, matte: Matte) -> None:
        """Publishes a matte; never waits for a reader."""
        ...

    def serve(self, handler: CommandHandler) -> None:
        """Starts answering commands on a thread of the link's own, once."""
        ...

    def close(self) -> None:
        """Stops threads and frees sockets or segments; safe to call twice."""
        ...


class ClientLink(Protocol):
    """The end of a compositor, a reader or the command line."""

    @property
    def status(self) -> LinkStatus:
        """Counters so far."""
        ...

    def send_frame(self, frame: Frame) -> None:
        """Hands the server a frame; never waits, an unread older one is replaced."""
        ...

    def latest_matte(self, timeout_s: float = 0.0, *, with_fill: bool = True) -> Matte | None:
        """The newest unseen matte, without its fill if so wanted; None when none came in time."""
        ...

    def request(self, command: Mapping[str, Any], timeout_s: float = 2.0) -> dict[str, Any]:
        """The server's answer to a command; LinkError when there is none."""
        ...

    def close(self) -> None:
        """Frees what this end holds; safe to call twice."""
        ...
