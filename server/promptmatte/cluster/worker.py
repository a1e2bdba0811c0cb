"""The process that serves some streams of a cluster: an actor of Ray."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptmatte.clock import RealClock
from promptmatte.control.streams import brief_of
from promptmatte.controls import Controls
from promptmatte.links.protocol import CommandHandler
from promptmatte.models.choice import ModelChoice
from promptmatte.prompts import Prompt
from promptmatte.stream_server import StreamServer
from promptmatte.stream_spec import StreamSpec

CHANGES = ("prompt", "set", "model")


@dataclass(frozen=True, kw_only=True)
class News:
    """How a worker is: all that is needed to start it again as it was.

    version: goes up with each change. brief: of each stream, as JSON values. over: no stream is at
    work any more; failed: because one of them failed.
    """

    version: int
    prompts: Mapping[str, tuple[Prompt, ...]]
    controls: Mapping[str, Controls]
    model: ModelChoice
    brief: Mapping[str, Any]
    host: str
    pid: int
    over: bool
    failed: bool


class StreamWorker:
    """A StreamServer that tells of every change as soon as it is made.

    Its streams' links, and so frames and mattes, are on the machine that it runs on.
    """

    def __init__(self, specs: Sequence[StreamSpec], model: ModelChoice) -> None:
        self._version = 0
        self._changed = threading.Condition()
        self._server = StreamServer(specs, model=model, clock=RealClock(), stop=threading.Event())
        self._server.serve(self._watched)
        self._handler = self._watched(self._server.handler())
        self._server.start()

    def news(self, seen: int, wait_s: float) -> News:
        """The state once its version is another than the one seen, or after the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, wait_s)
            version = self._version
        pipelines = self._server.pipelines
        states = {name: pipeline.status() for name, pipeline in pipelines.items()}
        return News(
            version=version,
            prompts={name: pipeline.prompts for name, pipeline in pipelines.items()},
            controls={name: pipeline.controls for name, pipeline in pipelines.items()},
            model=next(iter(pipelines.values())).model_choice,
            brief={name: brief_of(state) for name, state in states.items()},
            host=platform.node(),
            pid=os.getpid(),
            over=self._server.over,
            failed=any(state["state"].startswith("failed") for state in states.values()),
        )

    def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a command; PromptMatteError to refuse."""
        return self._handler(command)

    def close(self) -> None:
        """Ends the streams and frees their links."""
        self._server.close()

    def _watched(self, handler: CommandHandler) -> CommandHandler:
        def handle(command: Mapping[str, Any]) -> dict[str, Any]:
            reply = handler(command)
            if command.get("command") in CHANGES:
                with self._changed:
                    self._version += 1
                    self._changed.notify_all()
            return reply

        return handle
