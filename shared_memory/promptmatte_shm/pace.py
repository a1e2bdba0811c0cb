"""How threads that wait or answer leave the cores to those who make pictures."""

from __future__ import annotations

import threading
import time
from collections import deque

REST = 4.0
"""Rest to work: commands get at most a fifth of the time of one core, however many come."""

MOST_REST_S = 0.02
"""After one answer, so that a slow one does not hold up the next for long."""


POLL_S = 0.0005

QUIET = 0.75
GAPS = 8

SHORT_S = 0.005
"""A gap up to which there is no quiet: a flood is read as fast as it goes."""

MOST_QUIET_S = 0.015
"""Longest time without a look for a picture, where they come seldom."""


class Lookout:
    """When to look for the next picture: every POLL_S, but not before QUIET of the shortest of the
    last GAPS gaps between pictures is over, as none comes so soon.

    Gaps are between the looks that found something, before it was copied: with the time of a large
    copy in them the quiet would grow by itself.
    """

    def __init__(self) -> None:
        self._looked_s = self._came_s = self._quiet_s = 0.0
        self._gaps_s: deque[float] = deque([0.0], maxlen=GAPS)

    def look(self) -> None:
        """A look begins."""
        self._looked_s = time.monotonic()

    def came(self) -> None:
        """It found a picture."""
        self._gaps_s.append(self._looked_s - self._came_s)
        gap_s = min(self._gaps_s)
        self._quiet_s = min(QUIET * gap_s, MOST_QUIET_S) if gap_s > SHORT_S else 0.0
        self._came_s = self._looked_s

    def wait(self, deadline_s: float) -> bool:
        """Returns when to look; False when the time, as time.monotonic() has it, is over."""
        now_s = time.monotonic()
        if now_s >= deadline_s:
            return False
        quiet_s = min(self._came_s + self._quiet_s, deadline_s) - now_s
        time.sleep(max(POLL_S, quiet_s))
        return True


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
