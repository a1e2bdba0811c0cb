"""promptmatte prompt, set, controls, model, suggest, record, status, stop: to a running server."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from promptmatte.commands.options import DEFAULT_SESSION, Subparsers, parsed_controls
from promptmatte.commands.record import recording_line
from promptmatte.control.commands import DEFAULT_SUGGESTIONS
from promptmatte.errors import CommandError
from promptmatte.links import open_client_link
from promptmatte.models.choice import MODEL_NAMES
from promptmatte.prompts import Prompt

POLL_S = 0.2

SUGGEST_S = 60.0
"""The texts of a large vocabulary take that long on a slow CPU, the first time."""


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """prompt, set, controls, model, suggest, record, status and stop."""
    prompt = commands.add_parser("prompt", help="change what a running server keys")
    prompt.add_argument(
        "texts", nargs="*", metavar="TEXT",
        help='up to four, such as "person + dog - hair"; none: key nothing',
    )  # fmt: skip
    for name, text in (("--also", "a further thing in"), ("--negative", "a thing to leave out of")):
        prompt.add_argument(name, action="append", default=[], metavar="TEXT",
                            help=f"{text} every matte")  # fmt: skip
    prompt.set_defaults(run=run_prompt)
    change = commands.add_parser("set", help="change controls of a running server")
    change.add_argument("values", nargs="+", metavar="NAME=VALUE", help="e.g. threshold=0.4")
    change.add_argument("--prompt", type=int, metavar="N", help="for prompt 1 to 4 alone")
    change.set_defaults(run=run_set)
    controls = commands.add_parser("controls", help="the controls of a running server")
    controls.add_argument("--json", action="store_true", help="as JSON")
    controls.set_defaults(run=run_controls)
    model = commands.add_parser("model", help="change the model of a running server")
    model.add_argument("name", metavar="NAME", help=", ".join(MODEL_NAMES))
    model.add_argument("--clip", metavar="NAME", help="for SAM: where words come from")
    model.add_argument("--prompter", metavar="NAME", help="for SAM: how words reach it")
    model.set_defaults(run=run_model)
    suggest = commands.add_parser("suggest", help="what could be keyed in the picture just now")
    suggest.add_argument("--words", type=Path, metavar="FILE",
                         help="one a line; without it those that the model knows best")  # fmt: skip
    suggest.add_argument("--limit", type=int, default=DEFAULT_SUGGESTIONS, metavar="N",
                         help="how many, the surest first (default: %(default)s)")  # fmt: skip
    suggest.add_argument("--json", action="store_true", help="as JSON")
    suggest.set_defaults(run=run_suggest)
    record = commands.add_parser("record", help="switch the recording of a running server")
    record.add_argument("switch", choices=("on", "off"), metavar="on|off")
    record.set_defaults(run=run_record)
    status = commands.add_parser("status", help="what a running server is doing")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=run_status)
    stop = commands.add_parser("stop", help="stop a running server")
    stop.set_defaults(run=run_stop)
    for parser in (prompt, change, controls, model, suggest, record, status, stop):
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
    """Sends the prompts and shows what the server says about them."""
    extra = {"also": arguments.also, "negative": arguments.negative}
    prompts = [Prompt.parse(text, **extra) for text in arguments.texts]
    reply = ask(arguments.link, {"command": "prompt", "prompts": [p.entry for p in prompts]})
    for note in reply.get("notes", ()):
        Console().print(note, markup=False, highlight=False, soft_wrap=True)
    return 0


def run_set(arguments: argparse.Namespace) -> int:
    """Sends values of controls."""
    pairs = [text.partition("=") for text in arguments.values]
    for name, equals, _ in pairs:
        if not equals:
            raise CommandError(f"expected NAME=VALUE, such as threshold=0.4; got {name!r}")
    texts = {name.strip().replace("-", "_"): value for name, _, value in pairs}
    command = {"command": "set", "controls": parsed_controls(texts), "prompt": arguments.prompt}
    ask(arguments.link, command)
    return 0


def run_controls(arguments: argparse.Namespace) -> int:
    """Shows the server's controls with their values, prompt by prompt where these differ."""
    reply = ask(arguments.link, {"command": "controls"})
    console = Console()
    if arguments.json:
        console.print_json(json.dumps({name: reply[name] for name in ("controls", "values")}))
        return 0
    table = Table("control", "value", "range", "default", "", box=None)
    for row in reply["controls"]:
        table.add_row(
            row["name"],
            _shown_value(row, reply["values"]),
            "|".join(row["choices"]) or _shown_range(row),
            _as_typed(row["default"]),
            row["help"],
        )
    console.print(table)
    return 0


def _shown_value(row: dict[str, Any], values: dict[str, Any]) -> str:
    if row["scope"] == "stream":
        return _as_typed(values["stream"][row["name"]])
    each = [_as_typed(channel[row["name"]]) for channel in values["channels"]]
    return each[0] if len(set(each)) == 1 else " ".join(each)


def _shown_range(row: dict[str, Any]) -> str:
    if row["kind"] == "bool":
        return "on|off"
    return f"{row['low']:g} to {row['high']:g} {row['unit']}".rstrip()


def _as_typed(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else f"{value:g}"


def run_model(arguments: argparse.Namespace) -> int:
    """Asks for another model and waits until it is there, or is not to be had."""
    parts = {"clip": arguments.clip, "prompter": arguments.prompter}
    given = {name: value for name, value in parts.items() if value is not None}
    ask(arguments.link, {"command": "model", "name": arguments.name, **given})
    with Console(stderr=True).status(f"loading {arguments.name}") as shown:
        while True:
            status = ask(arguments.link, {"command": "status"})["status"]
            loading = status["loading"]
            if loading is None:
                break
            shown.update(f"{loading['stage']} {loading['share']:.0%}")
            time.sleep(POLL_S)
    if status["notice"]:
        raise CommandError(status["notice"])
    Console().print(f"{status['model']} on {status['device']}")
    return 0


def run_suggest(arguments: argparse.Namespace) -> int:
    """Shows the surest words."""
    words = _words_in(arguments.words) if arguments.words else []
    ask(arguments.link, {"command": "suggest", "words": words})
    deadline = time.monotonic() + SUGGEST_S
    answer: dict[str, Any] = {"done": False}
    while not answer["done"]:
        if time.monotonic() > deadline:
            raise CommandError(
                "no answer: the server has no picture or no model yet; see `promptmatte status`"
            )
        time.sleep(POLL_S)
        answer = ask(arguments.link, {"command": "suggestions", "limit": arguments.limit})
    if answer["error"]:
        raise CommandError(answer["error"])
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(answer["suggestions"]))
        return 0
    table = Table(show_header=False, box=None)
    for entry in answer["suggestions"]:
        table.add_row(entry["text"], f"{entry['confidence']:.2f}")
    console.print(table)
    return 0


def _words_in(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"expected a text file of words, one a line; {path}: {error}") from error
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def run_record(arguments: argparse.Namespace) -> int:
    """Switches the recording; off waits until its file is finished."""
    on = arguments.switch == "on"
    recording = ask(arguments.link, {"command": "record", "on": on})["recording"]
    while recording["state"] == "finishing":
        time.sleep(POLL_S)
        recording = ask(arguments.link, {"command": "status"})["status"]["recording"]
    Console().print(recording_line(recording), markup=False, highlight=False, soft_wrap=True)
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
