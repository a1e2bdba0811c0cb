"""Waiting for a library that can only be asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WAIT_S = 0.1
PACE_S = 0.002
"""Between two looks: at most 500 pictures a second."""


def polled(
    look: Callable[[], T | None], *, wait_s: float = WAIT_S, pace_s: float = PACE_S
) -> T | None:
    """The first thing that look returns; None when none comes in time."""
    deadline_s = time.monotonic() + wait_s
    while True:
        found = look()
        if found is not None or time.monotonic() >= deadline_s:
            return found
        time.sleep(pace_s)
