"""serve --web: the page of a server, as a process of its own that the show does not wait for."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from promptmatte.commands.web import add_password_option
from promptmatte.endpoint import Endpoint
from promptmatte.errors import ConfigError
from promptmatte.web.address import DEFAULT_PORT, INSTALL, bound_socket, password_from

logger = logging.getLogger(__name__)

AGAIN_S = 5.0
NICENESS = 10


def add_web_options(parser: argparse.ArgumentParser) -> None:
    """--web and who may see it."""
    parser.add_argument(
        "--web", nargs="?", const=str(DEFAULT_PORT), metavar="PORT",
        help="a page that steers the server, on this PORT of this machine, or, with a password, "
        f"on HOST:PORT (without a value: {DEFAULT_PORT})",
    )  # fmt: skip
    add_password_option(parser)


@dataclass(frozen=True, kw_only=True)
class PageOrder:
    """A page that can be had: everything about it was checked."""

    endpoint: Endpoint
    password_file: Path | None
    model_options: tuple[str, ...]

    @classmethod
    def of(cls, arguments: argparse.Namespace, model_options: list[str]) -> PageOrder | None:
        """What add_web_options' arguments order, None without --web; ConfigError for what the
        page could not use, so that it is known before the show."""
        if arguments.web is None:
            return None
        if importlib.util.find_spec("gradio") is None:
            raise ConfigError(f"expected gradio for --web; it is not installed: {INSTALL}")
        endpoint = Endpoint.parsed(str(arguments.web), option="--web")
        password_from(arguments.web_password_file, endpoint)
        bound_socket(endpoint).close()
        return cls(
            endpoint=endpoint,
            password_file=arguments.web_password_file,
            model_options=tuple(model_options),
        )

    @property
    def address(self) -> str:
        """A link for the page alone, so that its questions and those of others do not meet."""
        return f"shm:pm-page-{secrets.token_hex(4)}"


class PageProcess:
    """`promptmatte web` beside this server, begun anew should it end; it has less of the
    processor where there is little."""

    def __init__(self, order: PageOrder, address: str) -> None:
        """address: a link that answers commands."""
        self._command = [
            sys.executable, "-m", "promptmatte", "web", "--link", address, "--until-input-ends",
            f"--port={order.endpoint}", *order.model_options,
        ]  # fmt: skip
        if order.password_file is not None:
            self._command.append(f"--web-password-file={order.password_file}")
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="promptmatte-page", daemon=True)

    def start(self) -> None:
        """Begins; the page is there some seconds later."""
        self._thread.start()

    def close(self) -> None:
        """Ends the page."""
        self._closing.set()
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._lock:
                if self._closing.is_set():
                    return
                self._process = _started(self._command)
            code = self._process.wait()
            if not self._closing.is_set():
                logger.warning(
                    "the page ended (%d); the show goes on, the page in %g s", code, AGAIN_S
                )
                self._closing.wait(AGAIN_S)


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    below_normal = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, creationflags=below_normal)
    if hasattr(os, "setpriority"):
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        except OSError as error:
            logger.debug("the page keeps its priority: %s", error)
    return process
