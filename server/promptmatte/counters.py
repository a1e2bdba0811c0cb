"""What a pipeline has done, counted in one place for all of its threads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, deque
from typing import Any, NamedTuple

import numpy as np

WINDOW_NS = 5_000_000_000
"""Rates are those of the last five seconds."""

LATENCIES = 4096
"""Latencies are those of the last so many mattes."""

PERCENTILES = (50, 95, 99)

LATENCY_BOUNDS_S = (
    0.004, 0.008, 0.012, 0.016, 0.025, 0.033, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
"""Upper ends, inclusive, of the histogram's buckets but the last, which has none."""

_BOUNDS_NS = tuple(round(bound_s * 1e9) for bound_s in LATENCY_BOUNDS_S)


class LatencyHistogram(NamedTuple):
    """Latencies of all mattes: how many in each bucket (not cumulative), and their sum."""

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


class Rate:
    """Events a second over the last WINDOW_NS."""

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque(maxlen=1024)

    def add(self, now_ns: int) -> None:
        """Counts one event."""
        self._times_ns.append(now_ns)

    def per_s(self, now_ns: int) -> float:
        """The rate between the first and the last event of the window, 0 for under two."""
        recent = [time_ns for time_ns in self._times_ns if now_ns - time_ns <= WINDOW_NS]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) * 1e9 / (recent[-1] - recent[0])


class Counters:
    """Counts of a run: every frame that came in is in the end a matte or a counted drop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames_in = 0
        self._mattes_out = 0
        self._encodes = 0
        self._decodes = 0
        self._dropped: Counter[str] = Counter()
        self._latencies_ns: deque[int] = deque(maxlen=LATENCIES)
        self._latency_buckets = [0] * (len(_BOUNDS_NS) + 1)
        self._latency_sum_ns = 0
        self._mattes = Rate()
        self._keyframes = Rate()

    def frame_in(self) -> None:
        """A frame came from the source."""
        with self._lock:
            self._frames_in += 1

    def drop(self, cause: str) -> None:
        """A frame will have no matte."""
        with self._lock:
            self._dropped[cause] += 1

    def matte_out(self, *, captured_ns: int, now_ns: int) -> None:
        """The matte of a frame captured then was sent now."""
        latency_ns = now_ns - captured_ns
        with self._lock:
            self._mattes_out += 1
            self._latencies_ns.append(latency_ns)
            self._latency_buckets[bisect_left(_BOUNDS_NS, latency_ns)] += 1
            self._latency_sum_ns += latency_ns
            self._mattes.add(now_ns)

    def encode(self, now_ns: int) -> None:
        """The model encoded a frame."""
        with self._lock:
            self._encodes += 1
            self._keyframes.add(now_ns)

    def decode(self) -> None:
        """The model decoded the prompts."""
        with self._lock:
            self._decodes += 1

    def latency_histogram(self) -> LatencyHistogram:
        """Latencies since the start; one bucket more than bounds."""
        with self._lock:
            counts = tuple(self._latency_buckets)
            return LatencyHistogram(LATENCY_BOUNDS_S, counts, self._latency_sum_ns / 1e9)

    def snapshot(self, now_ns: int) -> dict[str, Any]:
        """All of it as JSON values; latencies are null before the first matte."""
        with self._lock:
            latencies_ms = np.array(self._latencies_ns, np.float64) / 1e6
            return {
                "frames_in": self._frames_in,
                "mattes_out": self._mattes_out,
                "dropped": dict(self._dropped),
                "encodes": self._encodes,
                "decodes": self._decodes,
                "matte_fps": round(self._mattes.per_s(now_ns), 2),
                "keyframe_hz": round(self._keyframes.per_s(now_ns), 2),
                "latency_ms": {
                    f"p{p}": round(float(np.percentile(latencies_ms, p)), 2)
                    if latencies_ms.size
                    else None
                    for p in PERCENTILES
                },
            }
