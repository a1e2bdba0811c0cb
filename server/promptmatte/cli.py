"""The promptmatte command: parses, hands over to a command module, turns errors into one line."""

from __future__ import annotations

import argparse
import logging
import sys

from promptmatte_shm.errors import ShmError

from promptmatte import __version__
from promptmatte.commands import (
    bench,
    cluster,
    config,
    conformance,
    control,
    cut,
    demo,
    doctor,
    evaluate,
    keys,
    models,
    points,
    serve,
    service,
    td,
    top,
    train,
    web,
)
from promptmatte.errors import PromptMatteError, ServerEndedError


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    parser = argparse.ArgumentParser(
        prog="promptmatte", description="Key anything out of live video by typing its name."
    )
    parser.add_argument("--version", action="version", version=f"promptmatte {__version__}")
    parser.add_argument("--log", default="warning", choices=("debug", "info", "warning", "error"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (
        demo, serve, web, config, keys, cluster, service, control, top, cut, points, models,
        evaluate, train, td, doctor, conformance, bench,
    ):  # fmt: skip
        command.add_parser(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs a command: 0 when all went well, 1 for a server that ended by itself, 2 for input it
    cannot use, 130 when interrupted."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(
        level=arguments.log.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        code: int = arguments.run(arguments)
    except (PromptMatteError, ShmError) as error:
        if sys.stderr is not None:  # pythonw.exe, which services use on Windows, has none
            sys.stderr.write(f"promptmatte: {' '.join(str(error).split())}\n")
        return 1 if isinstance(error, ServerEndedError) else 2
    except KeyboardInterrupt:
        return 130
    return code
