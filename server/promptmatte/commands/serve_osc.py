"""--osc of `promptmatte serve`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.console import Console

from promptmatte.clock import Clock
from promptmatte.commands.news import say
from promptmatte.control.osc_endpoint import DEFAULT_PORT
from promptmatte.endpoint import Endpoint
from promptmatte.errors import ConfigError

if TYPE_CHECKING:
    from promptmatte.control.osc import OscServer


def add_osc_options(parser: argparse.ArgumentParser) -> None:
    """--osc [PORT] and --osc-feedback HOST:PORT."""
    parser.add_argument(
        "--osc", nargs="?", const=str(DEFAULT_PORT), metavar="PORT",
        help=f"set everything by OSC over UDP, at this port of this machine ({DEFAULT_PORT} when "
        "none is given) or at HOST:PORT; OSC has no password",
    )  # fmt: skip
    parser.add_argument(
        "--osc-feedback", action="append", metavar="HOST:PORT",
        help="send every value there when it changes; may be repeated",
    )  # fmt: skip


def osc_from(arguments: argparse.Namespace, *, clock: Clock, console: Console) -> OscServer | None:
    """The OSC server that the options ask for, bound, and said on the console; None without
    --osc. ConfigError."""
    receivers = [
        Endpoint.parsed(text, option="--osc-feedback", lowest_port=1)
        for text in arguments.osc_feedback or []
    ]
    if arguments.osc is None:
        if receivers:
            raise ConfigError("expected --osc with --osc-feedback; got --osc-feedback alone")
        return None
    try:
        from promptmatte.control.osc import OscServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pythonosc":
            raise
        raise ConfigError(
            "--osc needs python-osc, which is not installed: run "
            'pip install "promptmatte[osc]", or leave --osc out'
        ) from error
    endpoint = Endpoint.parsed(str(arguments.osc), option="--osc")
    server = OscServer(endpoint=endpoint, feedback=receivers, clock=clock)
    host, port = server.address
    say(console, f"OSC: listens at {host}:{port}")
    if not endpoint.is_loopback:
        say(
            console,
            f"OSC has no password: whoever reaches {host}:{port} can change prompts and controls",
        )
    return server
