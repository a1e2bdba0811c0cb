"""Refused messages in the log: each once, then how many there were."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

WINDOW_NS = 10_000_000_000
"""How long one line stands for all like it."""

MOST_LINES = 20
"""In one window; what else is refused is counted together."""


class Faults:
    """Writes at most MOST_LINES lines, and a count for each, in a window."""

    def __init__(self) -> None:
        self._again: dict[str, int] = {}
        self._others = 0
        self._since_ns = 0

    def add(self, text: str, now_ns: int) -> bool:
        """Logs a text unless it is known from this window; True if it was logged."""
        self.flush(now_ns)
        if text in self._again:
            self._again[text] += 1
        elif len(self._again) == MOST_LINES:
            self._others += 1
        else:
            self._since_ns = self._since_ns if self._again else now_ns
            self._again[text] = 0
            logger.warning("%s", text)
            return True
        return False

    def flush(self, now_ns: int, *, at_end: bool = False) -> None:
        """Logs the counts when the window is over."""
        if not self._again or (now_ns - self._since_ns < WINDOW_NS and not at_end):
            return
        for text, count in self._again.items():
            if count:
                logger.warning("%s (%d times more)", text, count)
        if self._others:
            logger.warning("OSC: %d other messages were refused", self._others)
        self._again, self._others = {}, 0
