"""The one unread picture a link end keeps: the newest."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from promptmatte.errors import LinkError
from promptmatte.links.wire import Stamp

Picture = TypeVar("Picture")

MOST_SKIPPED = 1_000_000
"""Pictures that one gap in a sender's numbers counts for: a made-up number must not make a
count that no message can carry."""


class Newest(Generic[Picture]):
    """Holds the newest picture from a receiving thread until it is taken, and counts the rest.

    received: pictures taken. missed: newer ones came before they were taken, or their
    sender's numbering shows that they were dropped on the way.
    """

    def __init__(self) -> None:
        self.received = 0
        self.missed = 0
        self._changed = threading.Condition()
        self._picture: Picture | None = None
        self._stamp: Stamp | None = None
        self._closed_because: str | None = None

    def offer(self, picture: Picture, stamp: Stamp) -> None:
        """Keeps the picture unless it is the last one again."""
        with self._changed:
            if self._stamp is not None and self._stamp.sender == stamp.sender:
                skipped = stamp.serial - self._stamp.serial - 1
                if skipped < 0:
                    return
                self.missed += min(skipped, MOST_SKIPPED)
            if self._picture is not None:
                self.missed += 1
            self._picture = picture
            self._stamp = stamp
            self._changed.notify()

    def take(self, timeout_s: float) -> Picture | None:
        """The picture not yet taken, None if none came in time; LinkError once closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._picture is not None or self._closed_because is not None, timeout_s
            )
            if self._closed_because is not None:
                raise LinkError(self._closed_because)
            picture, self._picture = self._picture, None
            if picture is not None:
                self.received += 1
            return picture

    def close(self, because: str) -> None:
        """Wakes whoever waits; from now on taking raises LinkError with this reason."""
        with self._changed:
            self._picture = None
            self._closed_because = self._closed_because or because
            self._changed.notify_all()
