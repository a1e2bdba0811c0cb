"""The injected clock: real time in the server, simulated time in tests and evaluation."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic time and sleeping, so that both can be simulated."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds, comparable between processes of one machine."""
        ...

    def sleep_s(self, seconds: float) -> None:
        """Waits."""
        ...


class RealClock:
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds."""
        return time.monotonic_ns()

    def sleep_s(self, seconds: float) -> None:
        """Waits; a negative time is no wait."""
        if seconds > 0:
            time.sleep(seconds)
