"""Many streams in one server: their links and pipelines, one model for all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import cv2

from promptmatte.clock import Clock
from promptmatte.config import PipelineConfig
from promptmatte.control.commands import command_handler
from promptmatte.control.streams import streams_handler
from promptmatte.errors import LinkError, SourceError
from promptmatte.links import normalized_address, open_server_link
from promptmatte.links.late import LateServerLink
from promptmatte.links.protocol import CommandHandler, ServerLink
from promptmatte.models.choice import ModelChoice
from promptmatte.models.protocol import Model
from promptmatte.pipeline import Pipeline
from promptmatte.recording.recorder import Recorder
from promptmatte.shared_model import SharedModel
from promptmatte.sources import Source, open_source
from promptmatte.stream_spec import StreamSpec, check_together
from promptmatte.vendors import is_vendor_address, open_sink
from promptmatte.vendors.sink import Sink

LINK_KINDS = ("shm:", "zmq:", "touch:", "cuda:")


class StreamServer:
    """A pipeline for each stream, all on one model; what is opened here is closed here.

    The constructor opens links, sinks and sources: ConfigError and LinkError for what can never
    work, while a source that is only not there yet is waited for. stop: set by the command stop.
    recorder: of the first stream. One stream that fails or loses its source disturbs no other.
    wait_for_links: a link whose address is taken raises no LinkError, and opens when it is free.
    """

    def __init__(
        self,
        specs: Sequence[StreamSpec],
        *,
        model: Model | ModelChoice,
        clock: Clock,
        stop: threading.Event,
        recorder: Recorder | None = None,
        config: PipelineConfig | None = None,
        wait_for_links: bool = False,
    ) -> None:
        check_together(specs)
        self._clock = clock
        self._config = config or PipelineConfig()
        self._wait_for_links = wait_for_links
        self._model = SharedModel(model)
        self._links: dict[str, list[ServerLink]] = {}
        self._sinks: dict[str, list[Sink]] = {}
        self.pipelines: dict[str, Pipeline] = {}
        with ExitStack() as stack:
            for index, spec in enumerate(specs):
                self._add(spec, recorder if index == 0 else None, stack)
            self._open = stack.pop_all()
        self.handlers: Mapping[str, CommandHandler] = {
            name: command_handler(pipeline, stop) for name, pipeline in self.pipelines.items()
        }

    @property
    def addresses(self) -> list[str]:
        """Of all links and sinks."""
        return [
            one.address for name in self.pipelines for one in self._links[name] + self._sinks[name]
        ]

    def handler(self, here: str | None = None) -> CommandHandler:
        """What answers commands for all streams; `here` is meant where none is named."""
        return streams_handler(self.handlers, here=here, brief=self.brief)

    def serve(self, wrapped: Callable[[CommandHandler], CommandHandler] = lambda h: h) -> None:
        """Lets every link answer commands, those that name no stream for its own."""
        for name, links in self._links.items():
            for link in links:
                link.serve(wrapped(self.handler(here=name)))

    def start(self) -> None:
        """Starts all streams."""
        # Streams have threads enough; OpenCV's wait by spinning, a tenth of a core of two.
        cv2.setNumThreads(max(1, (os.cpu_count() or 2) // 2))
        for pipeline in self.pipelines.values():
            pipeline.start()

    def stop(self) -> None:
        """Ends all streams; safe to call twice."""
        for pipeline in self.pipelines.values():
            pipeline.stop()

    def close(self) -> None:
        """Ends all streams and frees what was opened; safe to call twice."""
        self.stop()
        self._open.close()

    @property
    def over(self) -> bool:
        """True when no stream is at work any more, or only to fail."""
        return all(one.wait(0.0) or one.hopeless for one in self.pipelines.values())

    def brief(self) -> dict[str, Any]:
        """How each stream is, in short, as JSON values."""
        return {name: pipeline.brief() for name, pipeline in self.pipelines.items()}

    def _add(self, spec: StreamSpec, recorder: Recorder | None, stack: ExitStack) -> None:
        source, addresses = spec.source, list(spec.out)
        if source.startswith(LINK_KINDS):
            source = normalized_address(source)
            addresses.append(source)
        links: list[ServerLink] = []
        sinks: list[Sink] = []
        for address in dict.fromkeys(normalized_address(address) for address in addresses):
            if is_vendor_address(address):
                sinks.append(open_sink(address, clock=self._clock))
                stack.callback(sinks[-1].close)
            else:
                links.append(self._opened(address))
                stack.callback(links[-1].close)
        opened = _opened_at_once(lambda: open_source(source, clock=self._clock, links=links))
        for first in opened:
            stack.callback(first.close)
        pipeline = Pipeline(
            open_source=lambda: (
                opened.pop() if opened else open_source(source, clock=self._clock, links=links)
            ),
            model=self._model,
            links=links,
            sinks=sinks,
            config=self._config,
            clock=self._clock,
            recorder=recorder,
            share=spec.share,
        )
        pipeline.set_prompts(spec.prompts)
        pipeline.set_controls(spec.controls)
        self._links[spec.name], self._sinks[spec.name] = links, sinks
        self.pipelines[spec.name] = pipeline

    def _opened(self, address: str) -> ServerLink:
        try:
            return open_server_link(address)
        except LinkError as error:
            if not self._wait_for_links:
                raise
            return LateServerLink(address, error)


def _opened_at_once(open_source: Callable[[], Source]) -> list[Source]:
    """The source, so that one which can never work is refused before the model is loaded;
    none when it is only not there yet: the pipeline waits for it."""
    try:
        return [open_source()]
    except SourceError:
        return []
