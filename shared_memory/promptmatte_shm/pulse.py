"""Whether a counter that another process moves is still moving."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pulse:
    """Watches a counter against this process's own clock; clocks are never compared
    between processes. Alive once the counter has been seen to change, until limit_s
    pass without another change."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._value: int | None = None
        self._changed_s = 0.0
        self._seen = False

    def look(self, value: int) -> bool:
        """Takes the counter's present value; whether it is alive."""
        now_s = self._clock()
        if self._value is None:
            self._value, self._changed_s = value, now_s
        elif value != self._value:
            self._value, self._changed_s, self._seen = value, now_s, True
        return self._seen and now_s - self._changed_s < self._limit_s

    @property
    def silent(self) -> bool:
        """No change for limit_s since the first look."""
        return self._value is not None and self._clock() - self._changed_s >= self._limit_s
