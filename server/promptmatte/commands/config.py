"""promptmatte config: a show file to begin with, and what is wrong with one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from promptmatte.commands.options import Subparsers, checked_output, choice_from
from promptmatte.commands.serve import add_parser as add_serve_parser
from promptmatte.commands.serve_show import Show, stream_specs
from promptmatte.commands.show_example import example_show
from promptmatte.errors import ConfigError
from promptmatte.stream_spec import StreamSpec


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """config."""
    parser = commands.add_parser(
        "config", help="write a commented show file for serve --config, or check one",
        usage="promptmatte config [-h] [FILE]\n       promptmatte config check FILE",
    )  # fmt: skip
    parser.add_argument("what", nargs="*", metavar="[check] FILE",
                        help="a file to write, none: to standard output; after check: the file "
                        "to check")  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the example, or checks a file; ConfigError."""
    match arguments.what:
        case []:
            sys.stdout.write(example_show(serve_parser()))
        case ["check", file]:
            _check(Path(file))
        case [file] if file != "check":
            _write(Path(file))
        case words:
            raise ConfigError(f"expected FILE or check FILE; got {' '.join(words)}")
    return 0


def serve_parser() -> argparse.ArgumentParser:
    """The parser of the options of `promptmatte serve`."""
    commands = argparse.ArgumentParser(prog="promptmatte").add_subparsers()
    add_serve_parser(commands)
    parser: argparse.ArgumentParser = commands.choices["serve"]
    return parser


def checked_show(arguments: argparse.Namespace) -> list[StreamSpec]:
    """The streams of serve's arguments, whose settings are filled in, as far as it can be checked
    without a camera or a card; ConfigError and the other errors of serve."""
    from promptmatte.links import normalized_address
    from promptmatte.recording.target import RecordingTarget
    from promptmatte.service.ports import ports_of
    from promptmatte.stream_server import LINK_KINDS

    show = Show.read(arguments)
    choice_from(arguments)
    specs = stream_specs(arguments, show.file)
    for spec in specs:
        for address in spec.out:
            normalized_address(address)
        if spec.source.startswith(LINK_KINDS):
            normalized_address(spec.source)
    ports_of(vars(arguments))
    if arguments.report:
        checked_output(arguments.report)
    if arguments.record:
        RecordingTarget(path=arguments.record)
    return specs


def _write(path: Path) -> None:
    text = example_show(serve_parser())
    try:
        with checked_output(path).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"expected the name of a new file; got {path}, which exists: choose another name"
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot write the show {path}: {error.strerror}") from error
    Console().print(
        f"{path}: change it, then promptmatte serve --config {path}", soft_wrap=True, markup=False
    )


def _check(path: Path) -> None:
    arguments = serve_parser().parse_args(["--config", str(path)])
    streams = checked_show(arguments)
    keyed = "; ".join(
        ", ".join(prompt.text for prompt in stream.prompts) or "nothing" for stream in streams
    )
    Console().print(
        f"{path}: good; keys {keyed} with {arguments.model}", soft_wrap=True, markup=False
    )
