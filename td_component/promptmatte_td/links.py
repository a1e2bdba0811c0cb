"""The link to the server as the component uses it: shared memory, or ZeroMQ where it is there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from promptmatte_shm import ClientSession, Frame, LinkStatus, Matte, SessionNameError

from promptmatte_td.pixels import Bytes, BytesPool, opaque, upright

ZMQ_PACKAGES = ("pyzmq", "msgpack")
PACKAGE_FOLDER = "promptmatte_packages"
"""Beside the project; added to Python's path only when ZeroMQ is asked for."""

Modules = Callable[[str], ModuleType]
"""Imports one of the embedded modules by name."""


class LinkUnavailableError(RuntimeError):
    """A link that cannot be opened: what to do about it."""


@dataclass(frozen=True, kw_only=True)
class LinkChoice:
    """Where the server is. kind: shm or zmq; session: of shm; host and port: of zmq."""

    kind: str = "shm"
    session: str = "promptmatte"
    host: str = "127.0.0.1"
    port: int = 5571

    @property
    def address(self) -> str:
        """As the server's --out and --source take it."""
        if self.kind == "shm":
            return f"shm:{self.session}"
        return f"zmq:tcp://{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Received:
    """A matte as it came: pixels uint8, rows bottom-up, arrays nobody else writes to.

    alpha: [h, w, 1 or 4]. fill: [h, w, 4] or None, straight (opaque) or premultiplied as
    fill_channels says: 3 or 4 channels came.
    """

    matte: Matte
    alpha: Bytes
    fill: Bytes | None
    fill_channels: int


class Link(Protocol):
    """What the component needs of a link; safe to use from two threads."""

    @property
    def status(self) -> LinkStatus:
        """Counters, and whether the server shows life."""
        ...

    def send_frame(self, frame: Frame) -> None:
        """Hands the server a frame whose pixels may be used again afterwards; never waits."""
        ...

    def receive(self) -> Received | None:
        """The newest unseen matte, if there is one."""
        ...

    def request(self, command: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """The server's answer; ConnectionError or TimeoutError without one."""
        ...

    def close(self) -> None:
        """Frees what it holds; safe to call twice."""
        ...


class ShmLink:
    """A session in shared memory: a matte is copied once, on the way turned upside down."""

    def __init__(self, session: str) -> None:
        """LinkUnavailableError for a name that cannot be used."""
        try:
            self._session = ClientSession(session)
        except SessionNameError as error:
            raise LinkUnavailableError(str(error)) from error
        self._mattes, self._fills, self._opaque = BytesPool(), BytesPool(), BytesPool()
        self._waiting = self._mattes.take((1, 1, 1)), self._fills.take((1, 1, 3))

    @property
    def status(self) -> LinkStatus:
        """Counters, and whether the server's heart beats."""
        return self._session.status

    def send_frame(self, frame: Frame) -> None:
        """Copies the frame into shared memory."""
        self._session.send_frame(frame)

    def receive(self) -> Received | None:
        """The newest unseen matte; called from one thread."""
        alpha, fill = self._waiting
        matte = self._session.latest_matte(out=upright(alpha), fill_out=upright(fill))
        if matte is None:
            return None
        if matte.alpha.base is not alpha.base:  # another size than the one before
            alpha = _turned(matte.alpha)
        if matte.fill is not None and matte.fill.base is not fill.base:
            fill = _turned(matte.fill)
        self._waiting = self._mattes.take(alpha.shape), self._fills.take(fill.shape)
        return Received(
            matte=matte,
            alpha=alpha,
            fill=None if matte.fill is None else _with_alpha(fill, self._opaque),
            fill_channels=0 if matte.fill is None else matte.fill.shape[2],
        )

    def request(self, command: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """The server's answer."""
        return self._session.request(command, timeout_s)

    def close(self) -> None:
        """Leaves the session."""
        self._session.close()


class ZmqLink:
    """The server's own ZeroMQ client, with mattes turned upside down."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._opaque = BytesPool()

    @property
    def status(self) -> LinkStatus:
        """Counters, and whether the server was heard."""
        status: LinkStatus = self._client.status
        return status

    def send_frame(self, frame: Frame) -> None:
        """Hands over a copy: the socket may send it later."""
        self._client.send_frame(Frame(info=frame.info, pixels=frame.pixels.copy()))

    def receive(self) -> Received | None:
        """The newest unseen matte."""
        matte: Matte | None = self._client.latest_matte()
        if matte is None:
            return None
        fill = None if matte.fill is None else _with_alpha(_turned(matte.fill), self._opaque)
        channels = 0 if matte.fill is None else matte.fill.shape[2]
        return Received(matte=matte, alpha=_turned(matte.alpha), fill=fill, fill_channels=channels)

    def request(self, command: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """The server's answer."""
        reply: dict[str, Any] = self._client.request(command, timeout_s)
        return reply

    def close(self) -> None:
        """Frees the sockets."""
        self._client.close()


def _turned(pixels: Any) -> Bytes:
    """A copy of top-down pixels with rows bottom-up."""
    turned: Bytes = upright(pixels).copy()
    return turned


def _with_alpha(fill: Bytes, pool: BytesPool) -> Bytes:
    if fill.shape[2] == 4:
        return fill
    whole = pool.take((*fill.shape[:2], 4))
    opaque(fill, whole)
    return whole


def open_link(choice: LinkChoice, *, modules: Modules, folder: Path) -> Link:
    """The link; LinkUnavailableError where it cannot be opened.

    modules: imports embedded modules. folder: the project's, beside which ZMQ_PACKAGES are
    looked for.
    """
    if choice.kind == "shm":
        return ShmLink(choice.session)
    packages = str(folder / PACKAGE_FOLDER)
    if Path(packages).is_dir() and packages not in sys.path:
        sys.path.append(packages)
    try:
        zmq = modules("promptmatte.links.zmq")
    except ImportError as error:
        raise LinkUnavailableError(install_hint(packages, error)) from error
    try:
        return ZmqLink(zmq.ZmqClientLink(choice.address))
    except ValueError as error:
        raise LinkUnavailableError(str(error)) from error


def install_hint(packages: str, error: ImportError) -> str:
    """The one command that brings what ZeroMQ needs, to be typed into a terminal."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"ZeroMQ needs {' and '.join(ZMQ_PACKAGES)} ({error}). In a terminal: "
        f"python -m pip install --only-binary=:all: --python-version {version} "
        f'--target "{packages}" {" ".join(ZMQ_PACKAGES)} - then choose the link again. '
        "Or set Link to Shared memory, which needs nothing"
    )
