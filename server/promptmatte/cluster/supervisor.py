"""Keeps the workers of a cluster alive, each with the prompts and controls it had last."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from promptmatte.clock import Clock
from promptmatte.cluster.watched_worker import WatchedWorker
from promptmatte.cluster.worker_spec import WorkerSpec
from promptmatte.control.streams import streams_handler
from promptmatte.links.protocol import CommandHandler
from promptmatte.models.choice import ModelChoice


class Supervisor:
    """Starts all workers, and each one again, elsewhere if need be, when it is lost.

    ray: connected. The streams of the other workers go on meanwhile.
    """

    def __init__(
        self, ray: Any, specs: Sequence[WorkerSpec], *, model: ModelChoice, clock: Clock
    ) -> None:
        self._workers = [WatchedWorker(ray, spec, model=model, clock=clock) for spec in specs]

    def start(self) -> None:
        """Starts the workers; they are there some seconds later."""
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        """Ends all workers; safe to call twice."""
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join()

    @property
    def over(self) -> bool:
        """True when the sources of all streams have ended."""
        return all(worker.over for worker in self._workers)

    def status(self) -> dict[str, Any]:
        """Of each worker its state, machine, process, restarts, seconds since it was started and
        why it was lost the last time; of each stream its worker and how it is. JSON values."""
        return {
            "workers": {worker.name: worker.status() for worker in self._workers},
            "streams": self._brief(),
        }

    def handler(self, stop: threading.Event) -> CommandHandler:
        """Answers commands for all streams, wherever they run, and `cluster`, with the status;
        `stop` ends everything and `model` holds for all."""
        of_streams = streams_handler(
            {
                stream: worker.handler(stream)
                for worker in self._workers
                for stream in worker.streams
            },
            brief=self._brief,
        )

        def handle(command: Mapping[str, Any]) -> dict[str, Any]:
            match command.get("command"):
                case "cluster":
                    return {"ok": True, "cluster": self.status()}
                case "stop":
                    stop.set()
                    return {"ok": True}
                case "model":
                    for worker in self._workers:
                        worker.ask(command)
                    return {"ok": True}
            return of_streams(command)

        return handle

    def _brief(self) -> dict[str, Any]:
        return {
            stream: {"worker": worker.name, **brief}
            for worker in self._workers
            for stream, brief in worker.brief().items()
        }
