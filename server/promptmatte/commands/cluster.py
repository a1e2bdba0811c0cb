"""promptmatte cluster: the streams of a show on the machines of a Ray cluster."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from promptmatte.commands.config import serve_parser
from promptmatte.commands.control import ask
from promptmatte.commands.options import Subparsers, choice_from
from promptmatte.commands.serve_show import Show, stream_specs
from promptmatte.commands.stopping import stop_event
from promptmatte.errors import ConfigError

if TYPE_CHECKING:
    from promptmatte.cluster.worker_spec import WorkerSpec
    from promptmatte.models.choice import ModelChoice

DEFAULT_LINK = "shm:promptmatte-cluster"
NOT_OF_A_CLUSTER = ("osc", "osc_feedback", "metrics", "web", "record", "seconds", "report")


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """cluster."""
    parser = commands.add_parser("cluster", help="streams of a show on several machines, by Ray")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    serve = actions.add_parser("serve", help="serve a show until stopped")
    serve.add_argument("show", type=Path, metavar="FILE", help="with [[stream]] tables")
    serve.add_argument("--address", default="auto", metavar="A",
                       help="auto: the Ray cluster that this machine belongs to; local: one on "
                       "this machine alone; or HOST:PORT of a head (default: auto)")  # fmt: skip
    serve.set_defaults(run=run_serve)
    status = actions.add_parser("status", help="which streams run where, and how")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=run_status)
    for action in (serve, status):
        action.add_argument(
            "--link", default=DEFAULT_LINK, metavar="ADDRESS",
            help=f"where `cluster serve` takes commands (default: {DEFAULT_LINK})",
        )  # fmt: skip


def run_serve(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C, the command stop or the end of all sources."""
    from promptmatte.cluster.connection import connected_ray, installed_ray

    installed_ray()
    specs, choice = _workers_of(arguments.show)

    from promptmatte.clock import RealClock
    from promptmatte.cluster.supervisor import Supervisor
    from promptmatte.links import open_server_link

    console = Console(stderr=True)
    with ExitStack() as stack:
        link = open_server_link(arguments.link)
        stack.callback(link.close)
        ray = connected_ray(arguments.address)
        stack.callback(ray.shutdown)
        stop = stop_event()  # after Ray, which takes the signals for itself
        supervisor = Supervisor(ray, specs, model=choice, clock=RealClock())
        stack.callback(supervisor.close)
        link.serve(supervisor.handler(stop))
        supervisor.start()
        console.print(
            f"PromptMatte: {', '.join(spec.name for spec in specs)} on Ray at {arguments.address}, "
            f"commands at {link.address}; stop with Ctrl-C or "
            f"`promptmatte stop --link {link.address}`",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
        while not stop.wait(0.2) and not supervisor.over:
            pass
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """Shows the workers and their streams."""
    cluster = ask(arguments.link, {"command": "cluster"})["cluster"]
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(cluster))
        return 0
    table = Table(
        "stream", "state", "mattes/s", "keyframes/s", "worker", "host", "pid", "restarts", box=None
    )
    for name, stream in cluster["streams"].items():
        worker = cluster["workers"][stream["worker"]]
        cells = (
            name, stream["state"], stream.get("matte_fps", ""), stream.get("keyframe_hz", ""),
            stream["worker"], worker["host"] or "", worker["pid"] or "", worker["restarts"],
        )  # fmt: skip
        table.add_row(*map(str, cells))
    console.print(table)
    return 0


def _workers_of(path: Path) -> tuple[list[WorkerSpec], ModelChoice]:
    """The workers and the model of a show; ConfigError."""
    from promptmatte.cluster.worker_spec import worker_specs

    arguments = serve_parser().parse_args(["--config", str(path)])
    show = Show.read(arguments)
    for name in NOT_OF_A_CLUSTER:
        if name in show.file.settings:
            raise ConfigError(f"expected no {name} in the show of a cluster; got it in {path}")
    return worker_specs(stream_specs(arguments, show.file), show.file), choice_from(arguments)
