"""The CUDA IPC link: pictures of a program on the same card, without its readback.

Frames come as they lie in the memory of that card and are turned to rgb8 there, so that three
bytes a pixel come down, into page-locked memory; a matte goes up as it is and is laid out
there. No commands: these go over another link. The other end is promptmatte_shm.cuda_client.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from promptmatte_shm import SessionNameError, ShmError, checked_name
from promptmatte_shm.cuda_driver import CudaDevice, CudaDriver
from promptmatte_shm.cuda_reader import CudaRingReader
from promptmatte_shm.cuda_ring import TOUCHDESIGNER
from promptmatte_shm.cuda_writer import CudaRingWriter
from promptmatte_shm.directory import Channel
from promptmatte_shm.pace import Lookout
from promptmatte_shm.ring import ReadCounts
from promptmatte_shm.slot import SlotHeader

from promptmatte.errors import ConfigError, LinkError, SourceError
from promptmatte.frame import Frame, Matte
from promptmatte.links.cuda_copier import Copier, TorchCopier
from promptmatte.links.protocol import CommandHandler, LinkStatus

logger = logging.getLogger(__name__)

SCHEME = "cuda:"
_CLOSING_PATIENCE_S = 1.0


def session_name(address: str) -> str:
    """The name in cuda:NAME; ConfigError for another kind of address."""
    if not address.startswith(SCHEME):
        raise ConfigError(f"expected an address such as cuda:promptmatte; got {address!r}")
    try:
        return checked_name(address.removeprefix(SCHEME))
    except SessionNameError as error:
        raise ConfigError(str(error)) from error


@contextmanager
def _told_as(kind: type[LinkError | SourceError]) -> Iterator[None]:
    """Errors of the exchange and of torch, whose CUDA errors are RuntimeErrors, as this kind."""
    try:
        yield
    except (ShmError, RuntimeError) as error:
        raise kind(str(error)) from error


class CudaServerLink:
    """The engine's end of cuda:NAME."""

    def __init__(
        self, address: str, *, device: CudaDevice | None = None, copier: Copier | None = None
    ) -> None:
        """Opens the link; ConfigError for an unusable address, LinkError without a card that
        can be used, or if another server has the name. device and copier: those of the first
        card, unless given."""
        self._address = address
        name = session_name(address)
        self._frames_lock, self._mattes_lock = threading.Lock(), threading.Lock()
        self._closed = False
        self._counts = ReadCounts()
        self._lookout = Lookout()
        self._sent = 0
        with _told_as(LinkError), ExitStack() as opened:
            if device is None:
                device = driver = CudaDriver()
                opened.callback(driver.close)
                driver.check_export()
            self._copier = copier or TorchCopier()
            self._mattes = CudaRingWriter(name, Channel.MATTES, device=device)
            opened.callback(self._mattes.close, _CLOSING_PATIENCE_S)
            self._frames = CudaRingReader(name, Channel.FRAMES, device=device, counts=self._counts)
            opened.callback(self._frames.close)
            self._opened = opened.pop_all()

    @property
    def address(self) -> str:
        """The address as typed."""
        return self._address

    @property
    def status(self) -> LinkStatus:
        """Counters so far; connected: the other program sends frames or reads mattes."""
        connected = self._frames.connected or self._mattes.connected
        return LinkStatus(
            connected=connected and not self._closed, sent=self._sent, **asdict(self._counts)
        )

    def latest_frame(self, timeout_s: float = 0.0) -> Frame | None:
        """The newest unseen frame, rgb8; None when none came in time. SourceError while the
        frames cannot be used: sent from another card or by another version, or no memory."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            with self._frames_lock, _told_as(SourceError):
                self._check_open()
                self._mattes.beat()
                frame = self._taken()
                if frame is not None:
                    return frame
                if self._frames.refusal:
                    raise SourceError(self._frames.refusal)
            if not self._lookout.wait(deadline_s):
                return None

    def _taken(self) -> Frame | None:
        self._lookout.look()
        found = self._frames.newest()
        if found is None:
            return None
        self._lookout.came()
        rgb = self._copier.download(found.pixels, found.layout)
        if not self._frames.finish(found):
            return None
        return Frame(info=found.header.info, pixels=rgb)

    def send_matte(self, matte: Matte) -> None:
        """Publishes a matte; LinkError if the card has no memory for its size."""
        with self._mattes_lock, _told_as(LinkError):
            self._check_open()
            begun = self._mattes.begin(SlotHeader.of_matte(matte), TOUCHDESIGNER)
            self._copier.upload(matte.alpha, begun.pixels, TOUCHDESIGNER)
            if matte.fill is not None and begun.fill is not None:
                self._copier.upload(matte.fill, begun.fill, TOUCHDESIGNER)
            self._sent += self._mattes.publish(begun)

    def serve(self, handler: CommandHandler) -> None:  # noqa: ARG002
        """Answers nothing: this link carries pictures only."""
        logger.info(
            "%s carries no commands: send them over shm:NAME or zmq:, opened beside it by --out",
            self._address,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise LinkError(f"{self._address} is closed: open a new one")

    def close(self) -> None:
        """Frees the memory; safe to call twice. Readers get a second to let go of it."""
        with self._frames_lock, self._mattes_lock:
            self._closed = True
            self._opened.close()
