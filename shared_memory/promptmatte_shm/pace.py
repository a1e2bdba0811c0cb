"""How a thread that answers others leaves most of a core to those who make pictures."""

from __future__ import annotations

import threading
import time

REST = 4.0
"""Rest to work: commands get at most a fifth of the time of one core, however many come."""

MOST_REST_S = 0.02
"""After one answer, so that a slow one does not hold up the next for long."""


class Pace:
    """Rests after work, in proportion to it. A client that floods waits for its own answers;
    nothing of what it sends is lost, and others have their turn in between."""

    def __init__(self, stop: threading.Event) -> None:
        """stop: ends a rest."""
        self._stop = stop
        self._begun_s = time.monotonic()

    def begin(self) -> None:
        """Work begins."""
        self._begun_s = time.monotonic()

    def rest(self) -> None:
        """Work has ended; returns when it may begin again."""
        worked_s = time.monotonic() - self._begun_s
        self._stop.wait(min(REST * worked_s, MOST_REST_S))
