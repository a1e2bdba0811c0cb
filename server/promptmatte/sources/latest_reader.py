"""A thread that keeps the newest picture of a device that cannot be asked to wait."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from promptmatte.clock import Clock
from promptmatte.errors import PromptMatteError, SourceError
from promptmatte.frame import Frame
from promptmatte.sources.pacing import Stamper

logger = logging.getLogger(__name__)

FIRST_PICTURE_S = 8.0
"""Cameras and streams may take this long to start."""

SILENCE_S = 3.0
"""A device that gives nothing for this long is lost."""

JOIN_S = 2.0
RETRY_S = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrival:
    """One picture as the device gave it: rgb8 pixels and when it came."""

    pixels: npt.NDArray[np.uint8]
    pts_ns: int | None
    captured_ns: int


class Device(Protocol):
    """What the thread reads; it alone calls these, and `release` last."""

    def grab(self) -> tuple[npt.NDArray[np.uint8], int | None] | None:
        """The next rgb8 picture and its pts_ns, None for a failed try; may wait."""
        ...

    def release(self) -> None:
        """Frees the device."""
        ...


class LatestReader:
    """Reads a device on a thread of its own, which also frees it; keeps the newest picture.

    `skipped` counts pictures replaced before anyone read them.
    """

    def __init__(
        self,
        device: Device,
        *,
        name: str,
        clock: Clock,
        first_picture_s: float = FIRST_PICTURE_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self.skipped = 0
        self._device = device
        self._name = name
        self._clock = clock
        self._silence_s = silence_s
        self._deadline_ns: float = clock.now_ns() + first_picture_s * 1e9
        self._stamper = Stamper(clock)
        self._first_ns: int | None = None
        self._newest: Arrival | None = None
        self._error: PromptMatteError | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source {name}", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> Frame | None:
        """The newest unread picture; None when none came in time.

        Raises what ended the thread once all is read, and SourceError after a silence.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._error, timeout=max(timeout_s, 0))
            arrival, self._newest = self._newest, None
            if arrival is None:
                if self._error is not None:
                    raise self._error
                if self._clock.now_ns() > self._deadline_ns:
                    raise SourceError(
                        f"{self._name} gives no pictures any more: check that it is connected "
                        "and that no other program uses it"
                    )
                return None
        if self._first_ns is None:
            self._first_ns = arrival.captured_ns
        pts_ns = arrival.pts_ns
        if pts_ns is None:
            pts_ns = arrival.captured_ns - self._first_ns
        return self._stamper.frame(arrival.pixels, pts_ns, arrival.captured_ns)

    def close(self) -> None:
        """Stops the thread; a driver that does not return is left to it. Safe to call twice."""
        self._stop.set()
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            logger.info("%s still waits for its driver; it is freed when that returns", self._name)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                picture = self._device.grab()
                if picture is None:
                    self._stop.wait(RETRY_S)
                    continue
                self._put(picture)
        except PromptMatteError as error:
            self._fail(error)
        except Exception as error:  # the one net of the thread: drivers raise anything
            logger.exception("%s failed", self._name)
            self._fail(SourceError(f"{self._name} failed: {type(error).__name__}: {error}"))
        finally:
            self._device.release()

    def _put(self, picture: tuple[npt.NDArray[np.uint8], int | None]) -> None:
        now_ns = self._clock.now_ns()
        arrival = Arrival(pixels=picture[0], pts_ns=picture[1], captured_ns=now_ns)
        with self._changed:
            if self._newest is not None:
                self.skipped += 1
            self._newest = arrival
            self._deadline_ns = now_ns + self._silence_s * 1e9
            self._changed.notify_all()

    def _fail(self, error: PromptMatteError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()


class LatestSource:
    """A Source that gives the newest picture of a LatestReader and passes older ones over."""

    def __init__(self, reader: LatestReader, *, name: str) -> None:
        self._reader = reader
        self._name = name

    @property
    def name(self) -> str:
        """The source as typed, without credentials."""
        return self._name

    @property
    def skipped(self) -> int:
        """Pictures replaced by newer ones before anyone read them."""
        return self._reader.skipped

    def read(self, timeout_s: float) -> Frame | None:
        """The newest unread picture; SourceError once none comes any more."""
        return self._reader.read(timeout_s)

    def close(self) -> None:
        """Stops the reader, which frees the device."""
        self._reader.close()
