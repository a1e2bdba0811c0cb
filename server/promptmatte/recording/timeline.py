"""When in a file a frame is shown."""

from __future__ import annotations

STRAY_NS = 1_000_000_000
"""A frame captured this far from where its arrival puts it has a clock of its own."""


class Timeline:
    """Times in one file: those of the captures, so that speed is right although frames miss.

    Captures are stamped by the clock of the machine that captured. When that clock jumps
    against ours, as with another source, time goes on by the arrival of the frame.
    """

    def __init__(self) -> None:
        self._ahead_ns: int | None = None
        self._start_ns = 0
        self._last_ns = -1

    def time_ns(self, *, captured_ns: int, arrived_ns: int) -> int:
        """Nanoseconds since the first frame of the file, always rising."""
        ahead_ns = arrived_ns - captured_ns
        if self._ahead_ns is None:
            self._ahead_ns, self._start_ns = ahead_ns, arrived_ns
        elif abs(ahead_ns - self._ahead_ns) > STRAY_NS:
            self._ahead_ns = ahead_ns
        time_ns = captured_ns + self._ahead_ns - self._start_ns
        self._last_ns = max(self._last_ns + 1, time_ns)
        return self._last_ns
