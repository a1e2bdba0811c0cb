"""One model and the one thread that uses it, shared by the streams of a server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import torch

from promptmatte.clock import Clock
from promptmatte.counters import Counters
from promptmatte.keyframe_schedule import KeyframeSchedule
from promptmatte.keyframes import KeyframeWorker
from promptmatte.models.choice import ModelChoice
from promptmatte.models.host import ModelHost
from promptmatte.models.lane import Lane
from promptmatte.models.protocol import Model
from promptmatte.priority import Niceness, stand_back


class SharedModel:
    """Loads a model for the streams that join, and makes keyframes for them until all have left.

    model: one that is loaded, or the choice of one. `host` exchanges it and answers for it.
    """

    def __init__(self, model: Model | ModelChoice) -> None:
        self._schedule = KeyframeSchedule()
        self.host = ModelHost(model, use=self._schedule.set_model, failed=self._fail)
        self._lock = threading.Lock()
        self._joined: dict[KeyframeWorker, Callable[[str], None]] = {}
        self._started = False
        self._thread = threading.Thread(target=self._run, name="promptmatte-keyframe", daemon=True)

    def join(
        self,
        *,
        encode_hz: float,
        share: float,
        clock: Clock,
        counters: Counters,
        failed: Callable[[str], None],
    ) -> KeyframeWorker:
        """The worker of one more stream, before the start. failed: told why no model can be had."""
        worker = KeyframeWorker(
            encode_hz=encode_hz,
            clock=clock,
            counters=counters,
            short_of_memory=self.host.step_down,
            wake=self._schedule.wake,
        )
        self._schedule.add(worker, share)
        self._joined[worker] = failed
        return worker

    def start(self) -> None:
        """Starts to load and to make keyframes, with the first stream that starts."""
        with self._lock:
            if self._started:
                return
            self._started = True
        self.host.start()
        self._thread.start()

    def leave(self, worker: KeyframeWorker) -> None:
        """Ends the keyframes of a stream; the last one to leave ends it all and waits for that."""
        worker.frames.close()
        with self._lock:
            self._joined.pop(worker, None)
            if self._joined:
                return
        self.host.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _fail(self, failure: str) -> None:
        for failed in tuple(self._joined.values()):
            failed(failure)

    def _run(self) -> None:
        stand_back(Niceness.KEYFRAMES)
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # of this thread's torch
        with Lane(self.host.device):
            self._schedule.run()
