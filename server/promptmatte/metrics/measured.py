"""What metrics are read from; a Pipeline is one."""

from __future__ import annotations

from typing import Any, Protocol

from promptmatte.counters import LatencyHistogram


class Measured(Protocol):
    """Counts of a run, read from any thread."""

    def status(self) -> dict[str, Any]:
        """The state as JSON values."""
        ...

    def latency_histogram(self) -> LatencyHistogram:
        """Latencies of all mattes so far."""
        ...
