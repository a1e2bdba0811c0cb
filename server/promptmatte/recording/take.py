"""One recording, from its start to its end."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from promptmatte.clock import Clock
from promptmatte.frame import Frame, Matte
from promptmatte.priority import Niceness, stand_back
from promptmatte.recording.pictures import Painter, Pixels
from promptmatte.recording.target import PictureWriter, RecordingTarget
from promptmatte.recording.timeline import Timeline

logger = logging.getLogger(__name__)

RECORDING, FINISHING, FINISHED, FAILED = "recording", "finishing", "finished", "failed"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may wait to be written, whichever of frames and bytes is reached first, and
    how long nothing may be written, while frames are dropped, before the disk is given up."""

    frames: int = 120
    bytes: int = 256 * 2**20
    stall_s: float = 5.0


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiting:
    frame: Frame
    matte: Matte
    arrived_ns: int

    @property
    def size_bytes(self) -> int:
        return self.frame.pixels.nbytes + self.matte.alpha.nbytes


class Take:
    """Writes frames and mattes on a thread of its own; whoever offers them never waits.

    What comes while the queue is full is dropped and counted. An error of the disk, or a
    disk that stalls, ends the take and leaves what was written. Another size of frames
    begins another file.
    """

    def __init__(
        self,
        target: RecordingTarget,
        painter: Painter,
        *,
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._target = target
        self._painter = painter
        self._clock = clock
        self._limits = limits
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._taken_ns = 0
        self._over = False
        self._error: str | None = None
        self._files: list[Path] = []
        self._frames = self._dropped = 0
        self._past_s = self._file_s = 0.0
        self._thread = threading.Thread(target=self._run, name="promptmatte-record", daemon=True)
        self._thread.start()

    @property
    def open(self) -> bool:
        """True while it takes frames."""
        return not self._over

    @property
    def writing(self) -> bool:
        """True until its last file is closed, or let go of."""
        return self._thread.is_alive()

    def offer(self, frame: Frame, matte: Matte) -> None:
        """Takes a frame, rgb8, with its matte by reference, or drops it; never waits."""
        now_ns = self._clock.now_ns()
        arrival = _Waiting(frame=frame, matte=matte, arrived_ns=now_ns)
        with self._changed:
            if self._over:
                return
            if not self._waiting:
                self._taken_ns = now_ns
            elif self._is_full(arrival.size_bytes):
                self._drop(now_ns)
                return
            self._waiting.append(arrival)
            self._waiting_bytes += arrival.size_bytes
            self._changed.notify_all()

    def finish(self) -> None:
        """Takes no more frames; those that wait are still written. Does not wait for it."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Waits for the end of the writing: False when that did not come in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """state, file (the newest), files, seconds, frames, dropped, error: JSON values."""
        with self._changed:
            state = FINISHING if self._over else RECORDING
            if self._error is not None:
                state = FAILED
            elif not self._thread.is_alive():
                state = FINISHED
            return {
                "state": state,
                "file": str(self._files[-1]) if self._files else None,
                "files": len(self._files),
                "seconds": round(self._past_s + self._file_s, 3),
                "frames": self._frames,
                "dropped": self._dropped,
                "error": self._error,
            }

    def _is_full(self, more_bytes: int) -> bool:
        return (
            len(self._waiting) >= self._limits.frames
            or self._waiting_bytes + more_bytes > self._limits.bytes
        )

    def _drop(self, now_ns: int) -> None:
        self._dropped += 1
        if now_ns - self._taken_ns > self._limits.stall_s * 1e9:
            self._fail(f"nothing could be written for {self._limits.stall_s:g} s")

    def _fail(self, reason: str) -> None:
        """Ends the take; the first reason counts."""
        with self._changed:
            self._over = True
            self._waiting.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()
            if self._error is not None:
                return
            name = self._files[-1] if self._files else self._target.path
            self._error = (
                f"recording to {name} has stopped: {reason}; what was written stays: check the "
                "disk, then `promptmatte record on`"
            )

    def _next(self) -> _Waiting | None:
        """What to write next; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            if not self._waiting:
                return None
            waiting = self._waiting.popleft()
            self._waiting_bytes -= waiting.size_bytes
            self._taken_ns = self._clock.now_ns()
            return waiting

    def _run(self) -> None:
        stand_back(Niceness.ASIDE)  # the encoder's own threads, too
        writer: PictureWriter | None = None
        timeline, rgba = Timeline(), np.empty((0, 0, 4), np.uint8)
        try:
            while (waiting := self._next()) is not None:
                if writer is None or writer.size_hw != waiting.frame.size_hw:
                    if writer is not None:
                        writer.close()
                    writer = self._opened(waiting.frame.size_hw)
                    timeline, rgba = Timeline(), np.empty((*writer.size_hw, 4), np.uint8)
                self._write(waiting, writer, timeline, rgba)
            if writer is not None:
                writer.close()
        except Exception as error:  # the one net of the thread
            self._fail(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")
            if not isinstance(error, OSError | av.FFmpegError):
                logger.exception("recording failed")
            if writer is not None:
                writer.abandon()
        logger.info("recording ended: %s", self._error or self._files)

    def _opened(self, size_hw: tuple[int, int]) -> PictureWriter:
        path, writer = self._target.open(size_hw)
        logger.info("recording to %s", path)
        with self._changed:
            self._files.append(path)
            self._past_s, self._file_s = self._past_s + self._file_s, 0.0
        return writer

    def _write(
        self, waiting: _Waiting, writer: PictureWriter, timeline: Timeline, rgba: Pixels
    ) -> None:
        self._painter(waiting.frame, waiting.matte, rgba)
        time_ns = timeline.time_ns(
            captured_ns=waiting.frame.info.captured_ns, arrived_ns=waiting.arrived_ns
        )
        writer.write(rgba, time_ns)
        with self._changed:
            self._frames += 1
            self._file_s = time_ns / 1e9
