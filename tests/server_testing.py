"""A real `promptmatte serve` process for tests, and waiting for what it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import links_testing
from promptmatte.links import open_client_link
from promptmatte.links.protocol import ClientLink

DEADLINE_S = 180.0

T = TypeVar("T")


def wait_for(look: Callable[[], T | None]) -> T:
    """The first true thing that look returns; processes that import torch take their time."""
    return links_testing.wait_for(look, DEADLINE_S)


def promptmatte(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The finished command."""
    return subprocess.run(
        [sys.executable, "-m", "promptmatte", *map(str, arguments)],
        capture_output=True, text=True, encoding="utf-8", timeout=DEADLINE_S, check=False,
        **options,
    )  # fmt: skip


class Server:
    """`promptmatte serve`, or another command, with these arguments, ended at the end of a with
    block."""

    def __init__(self, *arguments: object, log: Path, command: str = "serve") -> None:
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "promptmatte", command, *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """kill -9, or TerminateProcess on Windows: no clean-up of any kind."""
        self.process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        self.process.wait(20)

    def said(self) -> str:
        """Its output so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")


def status_of(address: str, server: Server) -> dict[str, Any]:
    """The status once the server answers."""
    link = open_client_link(address)

    def ask() -> dict[str, Any] | None:
        assert server.process.poll() is None, server.said()
        try:
            reply = link.request({"command": "status"}, timeout_s=2.0)
        except ConnectionError:
            return None
        return dict(reply["status"])

    try:
        return wait_for(ask)
    finally:
        link.close()


def next_matte(link: ClientLink) -> Any:
    """The next matte of a link."""
    return wait_for(lambda: link.latest_matte(timeout_s=0.5))
