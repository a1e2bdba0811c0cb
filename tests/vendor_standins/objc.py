"""Stands in for PyObjC's objc: the pool that a thread of one's own needs."""

import contextlib
from collections.abc import Iterator

depth = 0


@contextlib.contextmanager
def autorelease_pool() -> Iterator[None]:
    global depth
    depth += 1
    try:
        yield
    finally:
        depth -= 1
