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
from promptmatte.commands.serve_show import Show, stream_specs
from promptmatte.commands.serve_web import PageOrder, PageProcess, add_web_options
from promptmatte.commands.show_file import SETTINGS
from promptmatte.commands.stopping import stop_event
from promptmatte.endpoint import Endpoint
from promptmatte.errors import PromptMatteError, ServerEndedError
from promptmatte.metrics import DEFAULT_PORT as METRICS_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptmatte.links.protocol import CommandHandler
    from promptmatte.metrics.server import MetricsServer
    from promptmatte.models.choice import ModelChoice
    from promptmatte.stream_server import StreamServer
    from promptmatte.stream_spec import StreamSpec


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
    parser.add_argument("--wait-for-links", action="store_true",
                        help="where another program has the port or name of a link, begin with the "
                        "other links and open it when it is free, as a service does")  # fmt: skip
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
    """Serves until stopped by command, signal, --seconds or the end of the sources."""
    show = Show.read(arguments)
    specs = stream_specs(arguments, show.file)
    choice = choice_from(arguments)
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

    clock, console = RealClock(), Console(stderr=True)
    recorder, news = recorder_from(arguments, clock, console)
    with ExitStack() as stack:
        osc = osc_from(arguments, clock=clock, console=console)
        if osc is not None:
            stack.callback(osc.close)
        from promptmatte.stream_server import StreamServer

        server = StreamServer(
            specs, model=choice, clock=clock, stop=stop, recorder=recorder,
            wait_for_links=arguments.wait_for_links,
        )  # fmt: skip
        stack.callback(server.close)
        _warn_of_idle_gpu(console)
        wrapped: Callable[[CommandHandler], CommandHandler] = _as_it_is
        if arguments.config:
            watch = show.watch(
                arguments, handlers=server.handlers, tell=lambda line: say(console, line)
            )  # fmt: skip
            stack.callback(watch.close)
            watch.start()
            wrapped = watch.wrapped
        server.serve(wrapped)
        handler = wrapped(server.handler(here=specs[0].name))
        if osc is not None:
            osc.serve(handler)
        if metrics is not None:
            stack.callback(_metrics_of(server, metrics, console).close)
        server.start()
        if page is not None:
            _start_page(page, handler, stack)
        _say_what_runs(specs, server, choice, console)
        return _run_to_the_end(
            server, arguments, stop, news=news, vendors_work=_vendors_work(specs, server)
        )


def _as_it_is(handler: CommandHandler) -> CommandHandler:
    return handler


def _metrics_of(server: StreamServer, endpoint: Endpoint, console: Console) -> MetricsServer:
    from promptmatte.metrics.server import MetricsServer

    served = MetricsServer(next(iter(server.pipelines.values())), endpoint)
    say(console, f"Metrics: {served.url}")
    return served


def _start_page(page: PageOrder, handler: CommandHandler, stack: ExitStack) -> None:
    from promptmatte.links import open_server_link

    link = open_server_link(page.address)
    stack.callback(link.close)
    link.serve(handler)
    process = PageProcess(page, link.address)
    stack.callback(process.close)
    process.start()


def _vendors_work(specs: Sequence[StreamSpec], server: StreamServer) -> Callable[[], None]:
    from promptmatte.vendors import main_thread_work

    return main_thread_work([*(spec.source for spec in specs), *server.addresses])


def _say_what_runs(
    specs: Sequence[StreamSpec], server: StreamServer, choice: ModelChoice, console: Console
) -> None:
    from promptmatte.sources.redaction import redacted

    say(
        console,
        f"PromptMatte: {', '.join(redacted(spec.source) for spec in specs)} -> "
        f"{', '.join(server.addresses)} ({choice.name}); "
        "stop with Ctrl-C or `promptmatte stop`",
    )


def _run_to_the_end(
    server: StreamServer,
    arguments: argparse.Namespace,
    stop: threading.Event,
    *,
    news: Callable[[], None],
    vendors_work: Callable[[], None],
) -> int:
    seconds = arguments.seconds
    deadline = time.monotonic() + (math.inf if seconds is None else seconds)
    try:
        while not stop.wait(0.1) and not server.over and time.monotonic() < deadline:
            news()
            vendors_work()
    finally:
        server.stop()
        news()
    if arguments.report:
        first = next(iter(server.pipelines))
        reply = server.handler(here=first)({"command": "status"})
        _write_report(arguments.report, reply["status"])
    for name, pipeline in server.pipelines.items():
        state = pipeline.status()["state"]
        if state.startswith("failed"):
            where = f"stream {name}: " if len(server.pipelines) > 1 else ""
            raise ServerEndedError(f"the server stopped by itself; {where}{state}")
    return 0


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
