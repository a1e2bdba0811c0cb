"""Frames that a client sends over one of the server's links."""

from __future__ import annotations

from promptmatte.frame import Frame
from promptmatte.links.protocol import ServerLink
from promptmatte.sources.picture_size import check_pixels


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
        """The newest unseen frame; None when none came in time, SourceError for one of more
        than MAX_PIXELS, whose conversion alone would take all memory."""
        frame = self._link.latest_frame(timeout_s)
        if frame is not None:
            height, width = frame.size_hw
            check_pixels(width, height)
        return frame

    def close(self) -> None:
        """Holds nothing to free."""
