"""One worker of a cluster as its supervisor sees it: started, followed, started again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from promptmatte.clock import Clock
from promptmatte.cluster.worker import News, StreamWorker
from promptmatte.cluster.worker_spec import WorkerSpec
from promptmatte.errors import CommandError, LinkError, ModelError, PromptMatteError
from promptmatte.links.protocol import CommandHandler
from promptmatte.models.choice import ModelChoice

logger = logging.getLogger(__name__)

NEWS_S = 1.0
"""How long a worker to which nothing happens keeps its news to itself."""

SILENT_S = 15.0
"""After that a worker counts as lost; one that starts has no limit, as it may wait for room."""

ANSWER_S = 5.0
CLOSE_S = 10.0
RETRY_S = (0.5, 8.0)

STARTING, RUNNING, LOST, ENDED = "starting", "running", "lost", "ended"


class WatchedWorker:
    """Follows an actor on a thread of its own; one that dies, is silent or fails is replaced.

    Every change of prompts, controls or model is heard of at once, so the new actor begins with
    these.
    """

    def __init__(self, ray: Any, spec: WorkerSpec, *, model: ModelChoice, clock: Clock) -> None:
        self.name = spec.name
        self.streams = tuple(stream.name for stream in spec.streams)
        self._ray = ray
        self._spec = spec
        self._model = model
        self._clock = clock
        self._actor: Any = None
        self._news: News | None = None
        self._state = STARTING
        self._began_ns = clock.now_ns()
        self._restarts = 0
        self._why: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"promptmatte-worker-{spec.name}", daemon=True
        )

    @property
    def over(self) -> bool:
        """True when its sources have ended."""
        return self._state == ENDED

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Begins to end."""
        self._stopping.set()

    def join(self) -> None:
        """Waits for the end of the thread and of the actor."""
        if self._thread.ident is not None:
            self._thread.join()

    def status(self) -> dict[str, Any]:
        """As Supervisor.status has it."""
        news = self._news
        return {
            "state": self._state,
            "host": news.host if news else None,
            "pid": news.pid if news else None,
            "restarts": self._restarts,
            "since_s": round((self._clock.now_ns() - self._began_ns) / 1e9, 1),
            "lost": self._why,
        }

    def brief(self) -> dict[str, Any]:
        """How each stream is; only `state` while the worker is not there."""
        news = self._news
        return dict(news.brief) if news else {name: {"state": self._state} for name in self.streams}

    def handler(self, stream: str) -> CommandHandler:
        """What answers commands for a stream of this worker."""
        return lambda command: self.ask({**command, "stream": stream})

    def ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The worker's answer; CommandError when it refuses, LinkError while there is none."""
        actor, errors = self._actor, self._ray.exceptions
        if actor is None or self._news is None:
            raise LinkError(f"the worker {self.name} is {self._state}; try again in some seconds")
        try:
            reply: dict[str, Any] = self._ray.get(
                actor.command.remote(dict(command)), timeout=ANSWER_S
            )
        except PromptMatteError as error:
            raise CommandError(str(getattr(error, "cause", error))) from error
        except errors.RayError as error:
            raise LinkError(f"the worker {self.name} did not answer; try again") from error
        return reply

    def _run(self) -> None:
        delay_s = RETRY_S[0]
        try:
            while not self._stopping.is_set():
                try:
                    self._follow()
                    break
                except (PromptMatteError, self._ray.exceptions.RayError) as error:
                    delay_s = RETRY_S[0] if self._news else min(2 * delay_s, RETRY_S[1])
                    self._lose(error)
                self._stopping.wait(delay_s)
            self._state = ENDED
        except Exception as error:
            logger.exception("the worker %s is not followed any longer", self.name)
            self._state = f"failed: {error}"
        finally:
            self._end_actor()

    def _follow(self) -> None:
        """Until the streams have ended or the stop; an error of Ray when the actor is lost."""
        self._state, self._began_ns = STARTING, self._clock.now_ns()
        kind = self._ray.remote(StreamWorker).options(**self._spec.options)
        self._actor = kind.remote(self._spec.streams, self._model)
        seen = -1
        while not self._stopping.is_set():
            news = self._next_news(seen)
            if news is None:
                continue
            seen = news.version
            self._keep(news)
            if news.over and news.failed:
                raise ModelError(f"a stream failed: {dict(news.brief)}")
            if news.over:
                return

    def _next_news(self, seen: int) -> News | None:
        """None at the stop; GetTimeoutError of Ray from a worker that has been silent too long."""
        waits_ns = self._clock.now_ns()
        news = self._actor.news.remote(seen, NEWS_S)
        while not self._ray.wait([news], timeout=0.25)[0]:
            if self._stopping.is_set():
                return None
            if self._news is not None and self._clock.now_ns() - waits_ns > SILENT_S * 1e9:
                raise self._ray.exceptions.GetTimeoutError(f"silent for {SILENT_S:g} s")
        found: News = self._ray.get(news)
        return found

    def _keep(self, news: News) -> None:
        self._news, self._state = news, RUNNING
        self._model = news.model
        self._spec = replace(
            self._spec,
            streams=tuple(
                replace(
                    stream, prompts=news.prompts[stream.name], controls=news.controls[stream.name]
                )
                for stream in self._spec.streams
            ),
        )

    def _lose(self, error: Exception) -> None:
        self._why = " ".join(str(error).split())[:300] or type(error).__name__
        logger.warning("the worker %s was lost, it is started again: %s", self.name, self._why)
        self._state, self._news = LOST, None
        self._restarts += 1
        self._end_actor()

    def _end_actor(self) -> None:
        actor, self._actor = self._actor, None
        if actor is None:
            return
        if self._stopping.is_set() or self._state == ENDED:
            closed = actor.close.remote()
            self._ray.wait([closed], timeout=CLOSE_S)
        self._ray.kill(actor)
