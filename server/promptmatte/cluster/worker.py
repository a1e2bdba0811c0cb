"""The process that serves some streams of a cluster: an actor of Ray."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptmatte.clock import RealClock
from promptmatte.controls import Controls
from promptmatte.links.protocol import CommandHandler
from promptmatte.models.choice import ModelChoice
from promptmatte.prompts import Prompt
from promptmatte.stream_server import StreamServer
from promptmatte.stream_spec import StreamSpec

CHANGES = ("prompt", "set", "model")

KEPT_S = 0.5
"""How long the answer to a change waits for the supervisor to know of it."""


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
    """A StreamServer that tells of every change as soon as it is made, and answers a command that
    changes something when that is known elsewhere, so that it outlives this process.

    Its streams' links, and so frames and mattes, are on the machine that it runs on.
    """

    def __init__(self, specs: Sequence[StreamSpec], model: ModelChoice) -> None:
        self._version, self._kept = 0, -1
        self._changed = threading.Condition()
        self._server = StreamServer(specs, model=model, clock=RealClock(), stop=threading.Event())
        self._server.serve(self._watched)
        self._handler = self._watched(self._server.handler())
        self._server.start()

    def news(self, seen: int, wait_s: float) -> News:
        """The state once its version is another than the one seen, or after the time; the one
        seen is kept by then."""
        with self._changed:
            self._kept = seen
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._version != seen, wait_s)
            version = self._version
        pipelines = self._server.pipelines
        brief = self._server.brief()
        return News(
            version=version,
            prompts={name: pipeline.prompts for name, pipeline in pipelines.items()},
            controls={name: pipeline.controls for name, pipeline in pipelines.items()},
            model=next(iter(pipelines.values())).model_choice,
            brief=brief,
            host=platform.node(),
            pid=os.getpid(),
            over=self._server.over,
            failed=any(one["state"].startswith("failed") for one in brief.values()),
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
                    self._version = version = self._version + 1
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._kept >= version, KEPT_S)
            return reply

        return handle
