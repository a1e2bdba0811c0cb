"""The shared-memory link: sessions of promptmatte_shm behind the link protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy.typing as npt
from promptmatte_shm import (
    ClientSession,
    MessageTooLargeError,
    ServerSession,
    SessionNameError,
    ShmError,
    checked_name,
)

from promptmatte.errors import CommandError, ConfigError, LinkError
from promptmatte.frame import Frame, Matte
from promptmatte.links.protocol import CommandHandler, LinkStatus
from promptmatte.links.reply import answer

SCHEME = "shm:"


def session_name(address: str) -> str:
    """The session name in shm:NAME; ConfigError for another kind of address."""
    if not address.startswith(SCHEME):
        raise ConfigError(f"expected an address such as shm:promptmatte; got {address!r}")
    try:
        return checked_name(address.removeprefix(SCHEME))
    except SessionNameError as error:
        raise ConfigError(str(error)) from error


@contextmanager
def link_errors() -> Iterator[None]:
    """Inside, what the memory reports is a LinkError."""
    try:
        yield
    except ShmError as error:
        raise LinkError(str(error)) from error


class ShmServerLink:
    """The engine's end of a session."""

    def __init__(self, address: str) -> None:
        """Opens the link; ConfigError for an unusable address, LinkError if another
        server has the session."""
        self._address = address
        with link_errors():
            self._session = ServerSession(session_name(address))

    @property
    def address(self) -> str:
        """The address as typed."""
        return self._address

    @property
    def status(self) -> LinkStatus:
        """Counters so far."""
        return self._session.status

    def latest_frame(
        self, timeout_s: float = 0.0, *, out: npt.NDArray[Any] | None = None
    ) -> Frame | None:
        """The newest unseen frame a client sent, copied into `out` when its shape and dtype
        fit; None when none came in time."""
        with link_errors():
            return self._session.latest_frame(timeout_s, out=out)

    def send_matte(self, matte: Matte) -> None:
        """Publishes a matte; LinkError if there is no memory for its size."""
        with link_errors():
            self._session.send_matte(matte)

    def serve(self, handler: CommandHandler) -> None:
        """Starts answering commands, once."""
        with link_errors():
            self._session.serve(partial(answer, handler))

    def close(self) -> None:
        """Stops its threads and removes the session; safe to call twice."""
        self._session.close()


class ShmClientLink:
    """A client's end of a session, with or without a server yet."""

    def __init__(self, address: str) -> None:
        """Opens the link; ConfigError for an unusable address."""
        self._session = ClientSession(session_name(address))

    @property
    def status(self) -> LinkStatus:
        """Counters so far."""
        return self._session.status

    def send_frame(self, frame: Frame) -> None:
        """Hands the server a frame; dropped while there is none."""
        with link_errors():
            self._session.send_frame(frame)

    def latest_matte(
        self,
        timeout_s: float = 0.0,
        *,
        with_fill: bool = True,
        out: npt.NDArray[Any] | None = None,
        fill_out: npt.NDArray[Any] | None = None,
    ) -> Matte | None:
        """The newest unseen matte, without its fill if so wanted, copied into `out` and
        `fill_out` when shape and dtype fit; None when none came in time."""
        with link_errors():
            return self._session.latest_matte(
                timeout_s, out=out, with_fill=with_fill, fill_out=fill_out
            )

    def request(self, command: Mapping[str, Any], timeout_s: float = 2.0) -> dict[str, Any]:
        """The server's answer; LinkError when there is none, CommandError for a command
        that cannot be sent: too large, or no JSON."""
        try:
            return self._session.request(command, timeout_s)
        except MessageTooLargeError as error:
            raise CommandError(str(error)) from error
        except ShmError as error:
            raise LinkError(str(error)) from error
        except (TypeError, ValueError) as error:
            raise CommandError(f"expected a command of JSON values; got {error}") from error

    def close(self) -> None:
        """Leaves the session; safe to call twice."""
        self._session.close()
