"""Parts the time of a frame between the component's code and the stand-in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

COMPONENT, STANDIN = "component", "standin"


class Stopwatch:
    """Time always counts for whoever was entered last."""

    def __init__(self) -> None:
        self._stack: list[str] = [STANDIN]
        self._since_ns = time.perf_counter_ns()
        self._spent_ns = {COMPONENT: 0, STANDIN: 0}

    def _switch(self) -> None:
        now_ns = time.perf_counter_ns()
        self._spent_ns[self._stack[-1]] += now_ns - self._since_ns
        self._since_ns = now_ns

    @contextmanager
    def of(self, who: str) -> Iterator[None]:
        """Counts what is inside for who."""
        self._switch()
        self._stack.append(who)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    def take_ms(self) -> float:
        """Milliseconds of the component since the last take."""
        self._switch()
        spent_ms = self._spent_ns[COMPONENT] / 1e6
        self._spent_ns = {COMPONENT: 0, STANDIN: 0}
        return spent_ms
