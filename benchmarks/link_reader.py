"""A reader in a process of its own: python -m benchmarks.link_reader ADDRESS CHANNELS

Answers each line of its input with a line of JSON about the mattes since the line before, and at
the end of its input with one about all of them, which has no latencies.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import numpy as np
from promptmatte.links import open_client_link


class Seen:
    """What a reader saw: mattes, those out of order or of another size, their latencies."""

    def __init__(self) -> None:
        self.mattes = self.backwards = self.wrong_size = 0
        self.latency_ms: list[float] = []

    def report(self) -> dict[str, Any]:
        """As JSON values; latencies from the capture of the frame to its matte in hand."""
        times = self.latency_ms or [float("nan")]
        p50, p99 = (round(float(value), 2) for value in np.percentile(times, [50, 99]))
        return {
            "mattes": self.mattes, "backwards": self.backwards, "wrong_size": self.wrong_size,
            "p50_ms": p50 if self.latency_ms else None, "p99_ms": p99 if self.latency_ms else None,
        }  # fmt: skip


class LinkReader:
    """Reads until its input ends."""

    def __init__(self, address: str, channels: int) -> None:
        self._link = open_client_link(address)
        self._channels = channels
        self._lock = threading.Lock()
        self._since, self._all = Seen(), Seen()
        self._last: int | None = None
        self._size_hw: tuple[int, int] | None = None

    def run(self) -> None:
        """Reads mattes here and answers on a thread."""
        over = threading.Event()
        threading.Thread(target=self._answer, args=(over,), daemon=True).start()
        while not over.is_set():
            matte = self._link.latest_matte(0.1)
            if matte is not None:
                self._look(matte.info.seq, matte.info.captured_ns, matte.alpha.shape)
        self._tell(self._all)
        self._link.close()

    def _look(self, seq: int, captured_ns: int, shape: tuple[int, ...]) -> None:
        self._size_hw = self._size_hw or (shape[0], shape[1])
        late_ms = (time.monotonic_ns() - captured_ns) / 1e6
        with self._lock:
            for seen in (self._since, self._all):
                seen.mattes += 1
                seen.backwards += self._last is not None and seq <= self._last
                seen.wrong_size += shape != (*self._size_hw, self._channels)
            self._since.latency_ms.append(late_ms)
        self._last = seq

    def _answer(self, over: threading.Event) -> None:
        for _ in sys.stdin:
            with self._lock:
                since, self._since = self._since, Seen()
            self._tell(since)
        over.set()

    def _tell(self, seen: Seen) -> None:
        counts = self._link.status
        told = seen.report() | {"torn": counts.torn, "rejected": counts.rejected}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    LinkReader(sys.argv[1], int(sys.argv[2])).run()
