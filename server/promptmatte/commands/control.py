"""promptmatte prompt, status and stop: talk to a running server."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from promptmatte.commands.options import DEFAULT_SESSION, Subparsers
from promptmatte.errors import CommandError
from promptmatte.links import open_client_link
from promptmatte.prompts import Prompt


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """prompt, status and stop."""
    prompt = commands.add_parser("prompt", help="change what a running server keys")
    prompt.add_argument("texts", nargs="*", metavar="TEXT", help="up to four; none: key nothing")
    prompt.add_argument("--negative", action="append", default=[], metavar="TEXT",
                        help="a thing to leave out of every matte")  # fmt: skip
    prompt.set_defaults(run=run_prompt)
    status = commands.add_parser("status", help="what a running server is doing")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=run_status)
    stop = commands.add_parser("stop", help="stop a running server")
    stop.set_defaults(run=run_stop)
    for parser in (prompt, status, stop):
        parser.add_argument(
            "--link", default=DEFAULT_SESSION, metavar="ADDRESS",
            help=f"the server's link: shm:NAME or zmq:tcp://... (default: {DEFAULT_SESSION})",
        )  # fmt: skip


def ask(address: str, command: dict[str, Any]) -> dict[str, Any]:
    """A running server's answer; LinkError without a server, CommandError when it refuses."""
    link = open_client_link(address)
    try:
        reply = link.request(command, timeout_s=5.0)
    finally:
        link.close()
    if not reply.get("ok"):
        raise CommandError(str(reply.get("error", "the server refused without a reason")))
    return reply


def run_prompt(arguments: argparse.Namespace) -> int:
    """Sends the prompts."""
    prompts = [Prompt(text=t, negative=tuple(arguments.negative)) for t in arguments.texts]
    ask(
        arguments.link,
        {
            "command": "prompt",
            "prompts": [{"text": p.text, "negative": list(p.negative)} for p in prompts],
        },
    )
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """Shows the server's status."""
    status = ask(arguments.link, {"command": "status"})["status"]
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(status))
        return 0
    table = Table(show_header=False, box=None)
    for key, value in status.items():
        table.add_row(key, value if isinstance(value, str) else json.dumps(value))
    console.print(table)
    return 0


def run_stop(arguments: argparse.Namespace) -> int:
    """Stops the server."""
    ask(arguments.link, {"command": "stop"})
    return 0
