"""A queue of length one between two threads, in which only the latest thing counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds the latest thing put in until it is taken; the giver never waits.

    told: called after every change, for one who looks at several slots.
    """

    def __init__(self, *, told: Callable[[], None] = lambda: None) -> None:
        self._told = told
        self._changed = threading.Condition()
        self._item: T | None = None
        self._nudged = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """True once nothing more can be put in."""
        with self._changed:
            return self._closed

    def put(self, item: T) -> T | None:
        """What is lost by it: the unread thing it replaces, or itself in a closed slot."""
        with self._changed:
            if self._closed:
                return item
            lost, self._item = self._item, item
            self._changed.notify_all()
        self._told()
        return lost

    def take(self, timeout_s: float) -> T | None:
        """The latest thing, once; None after the time, a nudge or the close."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._item is not None or self._nudged or self._closed, timeout_s
            )
            self._nudged = False
            item, self._item = self._item, None
            return item

    def nudge(self) -> None:
        """Ends a wait that is on, or else the next one."""
        with self._changed:
            self._nudged = True
            self._changed.notify_all()
        self._told()

    def close(self) -> None:
        """Takes nothing in any more; what lies in it can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._told()
