"""promptmatte web: the page for a phone or laptop, beside a running server."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from promptmatte.commands.options import (
    DEFAULT_SESSION,
    Subparsers,
    add_model_options,
    choice_from,
)
from promptmatte.commands.stopping import stop_event
from promptmatte.endpoint import Endpoint
from promptmatte.web.address import (
    DEFAULT_PORT,
    PASSWORD_VARIABLE,
    bound_socket,
    page_url,
    password_from,
)


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """web."""
    parser = commands.add_parser("web", help="a page that steers a running server")
    parser.add_argument(
        "--link", default=DEFAULT_SESSION, metavar="ADDRESS",
        help=f"the server's link: shm:NAME or zmq:tcp://... (default: {DEFAULT_SESSION})",
    )  # fmt: skip
    parser.add_argument("--port", default=str(DEFAULT_PORT), metavar="PORT",
                        help="of the page on this machine, 0: any free one; or, with a password, "
                        "HOST:PORT (default: %(default)s)")  # fmt: skip
    add_password_option(parser)
    parser.add_argument("--until-input-ends", action="store_true",
                        help="stop when standard input is closed")  # fmt: skip
    add_model_options(parser)
    parser.set_defaults(run=run)


def add_password_option(parser: argparse.ArgumentParser) -> None:
    """--web-password-file."""
    parser.add_argument(
        "--web-password-file", type=Path, metavar="FILE",
        help=f"what the page asks for; or set {PASSWORD_VARIABLE}",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Serves the page until it is stopped; ConfigError, LinkError."""
    endpoint = Endpoint.parsed(arguments.port, option="--port")
    password = password_from(arguments.web_password_file, endpoint)
    choice = choice_from(arguments)
    stop = stop_event(after_input=arguments.until_input_ends)
    bound = bound_socket(endpoint)
    # Windows keeps what a browser has not finished fetching.
    with tempfile.TemporaryDirectory(prefix="promptmatte-web-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        from promptmatte.web.host import PageHost, prepare

        prepare(folder)
        from promptmatte.links import open_client_link
        from promptmatte.web.engine import Engine
        from promptmatte.web.job import VideoDesk
        from promptmatte.web.pads import Pads, pads_file
        from promptmatte.web.page import build_page
        from promptmatte.web.show import Show

        link = open_client_link(arguments.link)
        engine = Engine(choice)
        desk = VideoDesk(engine, folder / "videos")
        page = build_page(
            show=Show(link), pads=Pads(pads_file()), engine=engine, desk=desk, folder=folder
        )
        host = PageHost(page, bound, password=password)
        host.start()
        Console(stderr=True).print(
            f"page: {page_url(bound)} for {arguments.link}", highlight=False, soft_wrap=True
        )
        try:
            while not stop.wait(0.2) and host.alive:
                pass
        finally:
            host.close()
            desk.close()
            link.close()
    return 0
