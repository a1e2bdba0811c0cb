"""How long something took, in a few numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import ParamSpec, TypeVar

import numpy as np

PERCENTILES = (50, 95, 99)

T = TypeVar("T")
P = ParamSpec("P")


def timed_ms(action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[float, T]:
    """Milliseconds the action took, and its result."""
    start_ns = perf_counter_ns()
    result = action(*args, **kwargs)
    return (perf_counter_ns() - start_ns) / 1e6, result


def percentiles(values: Sequence[float], *, digits: int = 3) -> tuple[float, ...]:
    """p50, p95 and p99 of at least one value."""
    return tuple(round(float(p), digits) for p in np.percentile(values, PERCENTILES))
