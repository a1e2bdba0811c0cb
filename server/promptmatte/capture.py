"""Reads a source for as long as there is one, and opens it again when it is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from promptmatte.counters import Counters
from promptmatte.errors import PromptMatteError, SourceEnded, SourceError
from promptmatte.frame import Frame
from promptmatte.slot import LatestSlot
from promptmatte.sources.conversion import as_rgb8
from promptmatte.sources.protocol import Source

logger = logging.getLogger(__name__)

READ_S = 0.25
"""Longest wait for one frame, so that a stop is noticed."""

STARTING, RUNNING, ENDED, STOPPED = "starting", "running", "ended", "stopped"


class Capture:
    """Puts every frame of a source, as rgb8, into a slot; closes the slot at the end.

    open_source: opens it anew each time; its SourceError, or what no source should raise, means
    that it is to be tried again, after retry_s[0] seconds at first and twice as long each time up
    to retry_s[1]. Another PromptMatteError is for good.
    """

    def __init__(
        self,
        *,
        open_source: Callable[[], Source],
        frames: LatestSlot[Frame],
        counters: Counters,
        retry_s: tuple[float, float],
        stopping: threading.Event,
    ) -> None:
        self._open_source = open_source
        self._frames = frames
        self._counters = counters
        self._retry_s = retry_s
        self._stopping = stopping
        self._delay_s = retry_s[0]
        self.state = STARTING
        self.source_name = ""
        self.size_hw: tuple[int, int] | None = None

    def run(self) -> None:
        """Until the source ends, fails for good or the stop."""
        try:
            while not self._stopping.is_set():
                self._play_until_lost()
            self._enter(STOPPED)
        except SourceEnded:
            self._enter(ENDED)
        except Exception as error:
            logger.exception("capture failed")
            self.state = f"failed: {error}"
        finally:
            self._frames.close()

    def _play_until_lost(self) -> None:
        try:
            self._play()
        except SourceError as error:
            self._wait_for_source(str(error))
        except PromptMatteError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if said not in self.state:
                logger.exception("%s failed", self.source_name or "the source")
            self._wait_for_source(said)

    def _play(self) -> None:
        source = self._open_source()
        try:
            self.source_name = source.name
            while not self._stopping.is_set():
                frame = source.read(READ_S)
                if frame is not None:
                    self._pass_on(frame)
        finally:
            source.close()

    def _pass_on(self, frame: Frame) -> None:
        rgb = as_rgb8(frame)
        self._counters.frame_in()
        self._delay_s = self._retry_s[0]
        self.size_hw = rgb.size_hw
        self._enter(RUNNING)
        if self._frames.put(rgb) is not None:
            self._counters.drop("stopped" if self._frames.closed else "busy")

    def _wait_for_source(self, error: str) -> None:
        self._enter(f"source lost: {error}; retry in {self._delay_s:g} s")
        self._stopping.wait(self._delay_s)
        self._delay_s = min(2 * self._delay_s, self._retry_s[1])

    def _enter(self, state: str) -> None:
        if state != self.state:
            logger.info("%s (%s)", state, self.source_name or "no source yet")
            self.state = state
