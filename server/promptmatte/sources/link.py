"""Frames that a client sends over one of the server's links."""

from __future__ import annotations

from promptmatte.frame import Frame
from promptmatte.links.protocol import ServerLink


class LinkSource:
    """The newest frame of a link, with the sender's FrameInfo and pixel format.

    A client that is silent is no error: read returns None until it sends again. The
    link belongs to the server and is not closed here.
    """

    def __init__(self, link: ServerLink) -> None:
        self._link = link

    @property
    def name(self) -> str:
        """The link's address."""
        return self._link.address

    def read(self, timeout_s: float) -> Frame | None:
        """The newest unseen frame; None when none came in time."""
        return self._link.latest_frame(timeout_s)

    def close(self) -> None:
        """Holds nothing to free."""
