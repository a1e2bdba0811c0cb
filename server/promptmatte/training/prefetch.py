"""Things made ahead on a thread of their own, so that a training step never waits for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

AHEAD = 4
"""How many are ready at most."""


@contextmanager
def prefetched(things: Iterable[T]) -> Iterator[Iterator[T]]:
    """The same things in order; what their making raises is raised where they are taken."""
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(AHEAD)
    stop = threading.Event()

    def put(item: tuple[T | None, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def make() -> None:
        try:
            for thing in things:
                put((thing, None))
                if stop.is_set():
                    return
        except Exception as error:  # noqa: BLE001  raised again by the consumer
            put((None, error))

    thread = threading.Thread(target=make, name="training-samples", daemon=True)
    thread.start()

    def taken() -> Iterator[T]:
        while True:
            thing, error = ready.get()
            if error is not None:
                raise error
            yield thing  # type: ignore[misc]

    try:
        yield taken()
    finally:
        stop.set()
        thread.join(timeout=10)
