"""Errors that cost a frame its matte, and not the show."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from promptmatte.clock import Clock
from promptmatte.counters import Counters

logger = logging.getLogger(__name__)

MOST_FAILURES = 10
MOST_TIME_NS = 5_000_000_000
"""After so many failures in so long a time, without a matte in between, nothing is to be hoped for
in this process, as when a card was lost."""


class FrameFailures:
    """What went wrong since the last matte. Used from the threads of a pipeline."""

    def __init__(self, *, clock: Clock, counters: Counters) -> None:
        self._clock = clock
        self._counters = counters
        self._lock = threading.Lock()
        self._count = 0
        self._since_ns = 0
        self.error: str | None = None
        """Of the last frame that failed; None once there was a matte again."""
        self.hopeless = False
        """True when there were too many for too long. It is still tried."""

    @contextmanager
    def cost_a_frame(self, and_then: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Whatever is raised inside is counted as a frame dropped, and goes no further.

        and_then: forgets what may be half done; what that raises does go further.
        """
        try:
            yield
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if said != self.error:
                logger.exception("a frame has no matte")
            and_then()
            self._failed(said)

    def over(self) -> None:
        """A matte was made."""
        if self.error is not None:
            with self._lock:
                self._count, self.error, self.hopeless = 0, None, False
            logger.info("mattes are made again")

    def _failed(self, said: str) -> None:
        now_ns = self._clock.now_ns()
        with self._lock:
            self._since_ns = self._since_ns if self._count else now_ns
            self._count += 1
            self.error = said
            long_ns = now_ns - self._since_ns
            self.hopeless = self._count >= MOST_FAILURES and long_ns >= MOST_TIME_NS
        self._counters.drop("failed")
