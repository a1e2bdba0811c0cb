"""The video that the page cuts: one at a time, on a thread of its own."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from promptmatte.commands.cut_file import Cutter
from promptmatte.controls import Controls
from promptmatte.errors import CommandError, PromptMatteError
from promptmatte.prompts import PromptSet
from promptmatte.web.engine import Engine

logger = logging.getLogger(__name__)


class _Cancelled(Exception):  # noqa: N818  a wish, not a fault
    pass


@dataclass(frozen=True, kw_only=True)
class JobState:
    """state: idle, running, done, failed or cancelled. text: for people. share: done so far,
    0..1, None where the length is unknown. result: the file, once done."""

    state: str = "idle"
    text: str = ""
    share: float | None = 0.0
    result: Path | None = None


class VideoDesk:
    """Takes one order at a time; from any thread."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """folder: where results lie until the next order, or close."""
        self._engine = engine
        self._folder = folder
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._state = JobState()

    @property
    def state(self) -> JobState:
        """How the last order stands."""
        return self._state

    def start(
        self, source: Path, *, prompts: PromptSet, controls: Controls, quality: str, suffix: str
    ) -> None:
        """Begins to cut; CommandError while another video is being cut."""
        with self._lock:
            if self._state.state == "running":
                raise CommandError(
                    "expected one video at a time; one is being cut: cancel it first"
                )
            self._remove(self._state.result)
            folder = self._folder / secrets.token_hex(8)
            folder.mkdir(parents=True)
            output = folder / f"{source.stem}-cut{suffix}"
            cutter = Cutter(
                model=self._engine.load, prompts=prompts, controls=controls, quality=quality
            )
            self._cancel.clear()
            self._state = JobState(state="running", text="reading the video and the model")
            self._thread = threading.Thread(
                target=self._run, args=(cutter, source, output), name="promptmatte-web-cut"
            )
            self._thread.start()

    def cancel(self) -> None:
        """Ends the order after the frame that is being cut, if one is under way."""
        self._cancel.set()

    def close(self) -> None:
        """Cancels, waits and removes what lies in the folder."""
        self.cancel()
        with self._lock:
            if self._thread is not None:
                self._thread.join()
            self._remove(self._state.result)

    def _run(self, cutter: Cutter, source: Path, output: Path) -> None:
        try:
            cutter.video(source, output, told=self._told)
        except _Cancelled:
            end = JobState(state="cancelled", text="cancelled; nothing was kept")
        except PromptMatteError as error:
            end = JobState(state="failed", text=str(error))
        except Exception as error:
            logger.exception("a video could not be cut")
            end = JobState(state="failed", text=f"internal error: {type(error).__name__}: {error}")
        else:
            sure = ", ".join(f"{confidence:.0%}" for confidence in cutter.confidence)
            text = f"done: {output.name}, highest confidence {sure}"
            end = JobState(state="done", text=text, share=1.0, result=output)
        if end.result is None:
            self._remove(output)
        self._state = end

    def _told(self, done: int, total: int) -> None:
        if self._cancel.is_set():
            raise _Cancelled
        self._state = replace(
            self._state,
            text=f"frame {done} of {total}" if total else f"frame {done}",
            share=min(1.0, done / total) if total else None,
        )

    @staticmethod
    def _remove(output: Path | None) -> None:
        if output is not None:
            shutil.rmtree(output.parent, ignore_errors=True)
