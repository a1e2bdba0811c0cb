"""promptmatte serve: the server itself."""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from promptmatte.commands.news import say
from promptmatte.commands.options import (
    DEFAULT_SESSION,
    Subparsers,
    add_control_options,
    add_model_options,
    add_prompt_options,
    checked_output,
    choice_from,
    model_options,
)
from promptmatte.commands.record import add_record_options, recorder_from
from promptmatte.commands.serve_osc import add_osc_options, osc_from
from promptmatte.commands.serve_show import Show, wanted
from promptmatte.commands.serve_web import PageOrder, PageProcess, add_web_options
from promptmatte.commands.show_file import SETTINGS
from promptmatte.commands.stopping import stop_event
from promptmatte.config import PipelineConfig
from promptmatte.endpoint import Endpoint
from promptmatte.errors import PromptMatteError, ServerEndedError, SourceError
from promptmatte.metrics import DEFAULT_PORT as METRICS_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptmatte.pipeline import Pipeline
    from promptmatte.sources import Source

LINK_KINDS = ("shm:", "zmq:", "touch:", "cuda:")


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """serve."""
    parser = commands.add_parser("serve", help="matte live video until stopped")
    parser.add_argument(
        "--source", default="camera:0", metavar="S",
        help="camera:0, a video file or stream URL, a picture or folder, test:, shm:NAME, zmq:, "
        "touch:NAME for a Shared Mem Out TOP, cuda:NAME for a program on the same NVIDIA card, "
        "ndi:NAME, spout:NAME (Windows), syphon:NAME (macOS) "
        "(default: camera:0)",
    )  # fmt: skip
    add_prompt_options(parser, required=False)
    add_model_options(parser)
    parser.add_argument(
        "--out", action="append", metavar="ADDRESS",
        help="shm:NAME, zmq:tcp://127.0.0.1:5571, touch:NAME for a Shared Mem In TOP NAME_matte, "
        "cuda:NAME; cut-outs with alpha for ndi:NAME, spout:NAME (Windows), syphon:NAME (macOS), "
        "over green for virtualcam:[DEVICE] (docs/sinks.md); may be repeated "
        f"(default: {DEFAULT_SESSION})",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, metavar="FILE",
        help="a show in TOML, which `promptmatte config` writes: these options, [controls] and "
        "[[prompt]], whose changes are followed; an option given here wins over the file",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, metavar="N", help="stop after N seconds")
    parser.add_argument("--until-input-ends", action="store_true",
                        help="stop when standard input is closed, as it is when the program "
                        "that started the server is gone")  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the last status as JSON")
    add_osc_options(parser)
    parser.add_argument(
        "--metrics", nargs="?", const=str(METRICS_PORT), metavar="PORT",
        help="serve Prometheus metrics on this PORT of this machine, or on HOST:PORT "
        f"(without a value: {METRICS_PORT})",
    )  # fmt: skip
    add_web_options(parser)
    add_record_options(parser)
    add_control_options(parser)
    defaults = {name: parser.get_default(name) for name in SETTINGS}
    # None is "not given", so that a file's value is known to be wanted.
    parser.set_defaults(run=run, defaults=defaults, **dict.fromkeys(SETTINGS))


def run(arguments: argparse.Namespace) -> int:
    """Serves until stopped by command, signal, --seconds or the end of the source."""
    show = Show.read(arguments)
    first_wanted = wanted(arguments, show.file)
    choice = choice_from(arguments)
    addresses = list(dict.fromkeys(arguments.out or [DEFAULT_SESSION]))
    if arguments.report:
        checked_output(arguments.report)
    metrics = (
        Endpoint.parsed(str(arguments.metrics), option="--metrics")
        if arguments.metrics is not None
        else None
    )
    page = PageOrder.of(arguments, model_options(choice))
    stop = stop_event(after_input=arguments.until_input_ends)

    from promptmatte.clock import RealClock
    from promptmatte.control.commands import command_handler
    from promptmatte.links import normalized_address, open_server_link
    from promptmatte.pipeline import Pipeline
    from promptmatte.sources import open_source
    from promptmatte.sources.redaction import redacted
    from promptmatte.vendors import is_vendor_address, main_thread_work, open_sink

    source = arguments.source
    if source.startswith(LINK_KINDS):
        source = normalized_address(source)
        addresses.append(source)
    clock = RealClock()
    console = Console(stderr=True)
    recorder, news = recorder_from(arguments, clock, console)
    with ExitStack() as stack:
        osc = osc_from(arguments, clock=clock, console=console)
        if osc is not None:
            stack.callback(osc.close)
        links, sinks = [], []
        for address in dict.fromkeys(normalized_address(a) for a in addresses):
            if is_vendor_address(address):
                sinks.append(open_sink(address, clock=clock))
                stack.callback(sinks[-1].close)
                continue
            link = open_server_link(address)
            stack.callback(link.close)
            links.append(link)
        opened = _opened_at_once(lambda: open_source(source, clock=clock, links=links))
        for first in opened:
            stack.callback(first.close)
        vendors_work = main_thread_work([source, *(sink.address for sink in sinks)])
        _warn_of_idle_gpu(console)
        pipeline = Pipeline(
            open_source=lambda: (
                opened.pop() if opened else open_source(source, clock=clock, links=links)
            ),
            model=choice,
            links=links,
            sinks=sinks,
            config=PipelineConfig(),
            clock=clock,
            recorder=recorder,
        )
        pipeline.set_prompts(first_wanted.prompts)
        pipeline.set_controls(first_wanted.controls)
        handler = command_handler(pipeline, stop)
        if arguments.config:
            watch = show.watch(
                arguments, handler=handler, tell=lambda line: say(console, line)
            )  # fmt: skip
            stack.callback(watch.close)
            watch.start()
            handler = watch.handle
        for link in links:
            link.serve(handler)
        if osc is not None:
            osc.serve(handler)
        if metrics is not None:
            from promptmatte.metrics.server import MetricsServer

            served = MetricsServer(pipeline, metrics)
            stack.callback(served.close)
            say(console, f"Metrics: {served.url}")
        pipeline.start()
        if page is not None:
            link = open_server_link(page.address)
            stack.callback(link.close)
            link.serve(handler)
            process = PageProcess(page, link.address)
            stack.callback(process.close)
            process.start()
        say(
            console,
            f"PromptMatte: {redacted(arguments.source)} -> "
            f"{', '.join([*(link.address for link in links), *(sink.address for sink in sinks)])} "
            f"({choice.name}); "
            "stop with Ctrl-C or `promptmatte stop`",
        )
        try:
            _wait(pipeline, stop, arguments.seconds, (news, vendors_work))
        finally:
            pipeline.stop()
            news()
        status = pipeline.status()
        if arguments.report:
            _write_report(arguments.report, status)
        if status["state"].startswith("failed"):
            raise ServerEndedError(f"the server stopped by itself; {status['state']}")
    return 0


def _opened_at_once(open_source: Callable[[], Source]) -> list[Source]:
    """The source, so that one which can never work is refused before the model is loaded;
    none when it is only not there yet: the pipeline waits for it."""
    try:
        return [open_source()]
    except SourceError:
        return []


def _wait(
    pipeline: Pipeline,
    stop: threading.Event,
    seconds: float | None,
    often: Sequence[Callable[[], None]],
) -> None:
    deadline = time.monotonic() + (math.inf if seconds is None else seconds)
    while not stop.wait(0.1) and not pipeline.wait(0.0) and time.monotonic() < deadline:
        for work in often:
            work()


def _warn_of_idle_gpu(console: Console) -> None:
    from promptmatte.models.device import gpu_advice

    advice = gpu_advice()
    if advice:
        say(console, advice)


def _write_report(path: Path, status: dict[str, object]) -> None:
    try:
        path.write_text(json.dumps(status, indent=1), encoding="utf-8")
    except OSError as error:
        raise PromptMatteError(f"cannot write the report {path}: {error.strerror}") from error
