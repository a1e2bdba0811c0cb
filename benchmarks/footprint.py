"""What a process uses over time. Linux only: read from /proc."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(kw_only=True)
class Footprint:
    """When it was looked at; memory in MB, open files and threads of a process then."""

    at_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def sample(self, pid: int) -> None:
        """Looks at the process now."""
        folder = Path(f"/proc/{pid}")
        lines = (folder / "status").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        self.at_s.append(time.monotonic())
        self.rss_mb.append(int(facts["VmRSS"].split()[0]) / 1024)
        self.threads.append(int(facts["Threads"]))
        self.files.append(len(list((folder / "fd").iterdir())))

    def rss_mb_a_minute(self, after_s: float) -> float:
        """Slope of the memory, by least squares, from so long after the first look on; 0 for
        less than three looks."""
        at_s = np.array(self.at_s) - self.at_s[0]
        late = at_s >= after_s
        if late.sum() < 3:
            return 0.0
        return float(np.polyfit(at_s[late] / 60, np.array(self.rss_mb)[late], 1)[0])

    def report(self) -> dict[str, Any]:
        """First, last and most of each; the slope of memory over the second half."""
        slope = self.rss_mb_a_minute((self.at_s[-1] - self.at_s[0]) / 2)
        return {
            "rss_mb": [round(self.rss_mb[0], 1), round(self.rss_mb[-1], 1)],
            "rss_mb_most": round(max(self.rss_mb), 1),
            "rss_mb_a_minute": round(slope, 3),
            "files": [self.files[0], self.files[-1]],
            "threads": [self.threads[0], self.threads[-1]],
        }
