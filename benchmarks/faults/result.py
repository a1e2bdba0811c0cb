"""What came of a kind of fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

COLUMNS = (
    "fault", "tried", "recovered", "mattes looked at", "wrong", "recovery p50 ms",
    "recovery p99 ms", "note",
)  # fmt: skip


@dataclass(kw_only=True)
class Result:
    """tried, recovered: faults. looked_at, wrong: mattes (or recorded pictures), whose pixels,
    size and order were compared with what their number says. recover_ms: from the end of each
    fault, or from a kill, to the first right matte made after it."""

    fault: str
    tried: int = 0
    recovered: int = 0
    looked_at: int = 0
    wrong: list[str] = field(default_factory=list)
    recover_ms: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def good(self) -> bool:
        """Whether something was tried and looked at, all recovered and nothing was wrong."""
        return 0 < self.tried == self.recovered and self.looked_at > 0 and not self.wrong

    def recovered_after(self, milliseconds: float) -> None:
        """Counts a fault that is over."""
        self.recovered += 1
        self.recover_ms.append(round(milliseconds, 3))

    def row(self) -> Sequence[str | int | float | None]:
        """The values of COLUMNS."""
        p50, p99 = np.percentile(self.recover_ms, [50, 99]) if self.recover_ms else (None, None)
        return (
            self.fault, self.tried, self.recovered, self.looked_at, len(self.wrong),
            None if p50 is None else round(float(p50), 2),
            None if p99 is None else round(float(p99), 2), self.note,
        )  # fmt: skip
