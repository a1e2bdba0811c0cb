"""A link whose address another program has now, and may let go."""

from __future__ import annotations

import logging
import threading

from promptmatte.errors import LinkError, PromptMatteError, SourceError
from promptmatte.frame import Frame, Matte
from promptmatte.links import open_server_link
from promptmatte.links.protocol import CommandHandler, LinkStatus, ServerLink

logger = logging.getLogger(__name__)

RETRY_S = 1.0


class LateServerLink:
    """The engine's end of a link, opened as soon as its address is free. Until then it takes no
    matte and gives no frame, its status tells the error, and the other links go on without it."""

    def __init__(self, address: str, error: LinkError) -> None:
        """error: what open_server_link said of the address."""
        logger.warning("%s has to wait: %s", address, error)
        self._address = address
        self._error = str(error)
        self._link: ServerLink | None = None
        self._handler: CommandHandler | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._open, name="promptmatte-late", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address as typed."""
        return self._address

    @property
    def status(self) -> LinkStatus:
        """The link's, once it is open; error: why it is not."""
        if self._link is None:
            return LinkStatus(connected=False, error=self._error)
        return self._link.status

    def latest_frame(self, timeout_s: float = 0.0) -> Frame | None:
        """The newest unseen frame a client sent; SourceError while the link is not open."""
        if self._link is None:
            raise SourceError(self._error)
        return self._link.latest_frame(timeout_s)

    def send_matte(self, matte: Matte) -> None:
        """Publishes a matte; LinkError while the link is not open."""
        if self._link is None:
            raise LinkError(self._error)
        self._link.send_matte(matte)

    def serve(self, handler: CommandHandler) -> None:
        """Answers commands from when the link is open."""
        with self._lock:
            self._handler = handler
            if self._link is not None:
                self._link.serve(handler)

    def close(self) -> None:
        """Gives up, or closes the link; safe to call twice."""
        self._stop.set()
        self._thread.join()
        if self._link is not None:
            self._link.close()

    def _open(self) -> None:
        while not self._stop.wait(RETRY_S):
            try:
                link = open_server_link(self._address)
            except PromptMatteError as error:
                self._error = str(error)
                continue
            with self._lock:
                if self._handler is not None:
                    link.serve(self._handler)
                self._link = link
            logger.warning("%s is open now", self._address)
            return
