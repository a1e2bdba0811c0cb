"""Recording while the mattes go on, switched on and off."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from promptmatte.clock import Clock
from promptmatte.errors import ConfigError, RecordingError
from promptmatte.frame import Frame, Matte
from promptmatte.recording.pictures import PAINTERS
from promptmatte.recording.take import DEFAULT_LIMITS, Limits, Take
from promptmatte.recording.target import RecordingTarget

logger = logging.getLogger(__name__)

FINISH_S = 20.0
"""What waits is written within this at the end of a run, or given up."""

MAX_WRITING = 2
"""Takes with a file open: one that is finished while the next one records."""

OFF = {
    "state": "off", "file": None, "files": 0, "seconds": 0.0, "frames": 0, "dropped": 0,
    "error": None,
}  # fmt: skip


class Recorder:
    """Takes for a target, one after the other; on and off from any thread."""

    def __init__(
        self,
        target: RecordingTarget,
        *,
        what: str,
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """what: of PAINTERS; ConfigError for anything else."""
        if what not in PAINTERS:
            raise ConfigError(f"expected to record {' or '.join(PAINTERS)}; got {what!r}")
        self._target = target
        self._painter = PAINTERS[what]
        self._clock = clock
        self._limits = limits
        self._switching = threading.Lock()
        self._take: Take | None = None
        self._before: list[Take] = []

    def switch(self, on: bool) -> None:
        """Begins a take, or lets the one there is end; on or off already changes nothing.

        RecordingError while the files of earlier takes cannot be closed.
        """
        with self._switching:
            take = self._take
            if on and not (take and take.open):
                earlier = [*self._before, *([take] if take else [])]
                self._before = [other for other in earlier if other.writing]
                if len(self._before) >= MAX_WRITING:
                    raise RecordingError(
                        "expected the files of earlier recordings to be closed by now; they "
                        "still are not: check the disk and try again"
                    )
                self._take = Take(
                    self._target, self._painter, clock=self._clock, limits=self._limits
                )
            elif take and not on:
                take.finish()

    def offer(self, frame: Frame, matte: Matte) -> None:
        """Records this frame, rgb8, with its matte, if it is on; never waits."""
        take = self._take
        if take is not None:
            take.offer(frame, matte)

    def status(self) -> dict[str, Any]:
        """How the take goes, or the last one went, as JSON values; see Take.status."""
        take = self._take
        return take.status() if take is not None else dict(OFF)

    def close(self) -> None:
        """Ends the take and waits for its file, and for those before."""
        self.switch(False)
        deadline_s = time.monotonic() + FINISH_S
        for take in [*self._before, *([self._take] if self._take else [])]:
            if not take.join(max(0.0, deadline_s - time.monotonic())):
                logger.warning(
                    "%s was not finished in time: it plays as far as it was written",
                    take.status()["file"] or self._target.path,
                )
