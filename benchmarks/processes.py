"""Real processes for benchmarks: children that are ended, servers, free addresses, waiting."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from promptmatte.errors import PromptMatteError
from promptmatte.links import open_client_link
from promptmatte.links.protocol import ClientLink

ROOT = Path(__file__).parents[1]
SHM = Path("/dev/shm")  # noqa: S108  where Linux keeps it
PATIENCE_S = 120.0
END_S = 60.0
ASKED_AGAIN_S = 1.0
"""A server that was killed never answers; the one after it has to be asked anew."""

T = TypeVar("T")


def until(look: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """The first true thing that look returns; TimeoutError when none comes in time."""
    deadline_s = time.monotonic() + patience_s
    while not (found := look()):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"expected something within {patience_s:g} s; nothing came")
        time.sleep(0.005)
    return found


def free_session() -> str:
    """A session name that nobody has."""
    return f"b{secrets.token_hex(6)}"


def free_port() -> int:
    """A port that nobody has just now, nor the ones before and after it."""
    while True:
        with ExitStack() as held:
            try:
                probe = held.enter_context(socket.socket())
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
                for beside in (port - 1, port + 1):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", beside))
            except OSError:
                continue
            return port


def segments_of(session: str) -> list[str]:
    """Names of the session's shared memory (Linux; none elsewhere)."""
    found = [*SHM.glob(f"pm_{session}"), *SHM.glob(f"pm_{session}.*")] if SHM.is_dir() else []
    return sorted(path.name for path in found)


def kill(process: subprocess.Popen[Any]) -> None:
    """kill -9, or TerminateProcess on Windows: no clean-up of any kind."""
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait(END_S)


@contextmanager
def started(*command: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of this Python in the root of the project, ended in the end."""
    with subprocess.Popen(
        [sys.executable, *map(str, command)], text=True, cwd=ROOT, **options
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        kill(process)


def status_of(link: ClientLink, timeout_s: float = 10.0) -> dict[str, Any]:
    """What the server says of itself."""
    status: dict[str, Any] = link.request({"command": "status"}, timeout_s=timeout_s)["status"]
    return status


@contextmanager
def serving(
    log: Path,
    *options: object,
    entry: tuple[str, ...] = ("-m", "promptmatte"),
    threads: int | None = 1,
) -> Iterator[subprocess.Popen[str]]:
    """`promptmatte serve` with these options, its words in the log; not waited for. threads: of
    OpenMP, None for as many as it wants."""
    with (
        log.open("a", encoding="utf-8") as output,
        started(
            *entry, "serve", *options, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)}),
        ) as process,
    ):  # fmt: skip
        yield process


def said_in(log: Path) -> str:
    """The words in a log; nothing for one that is no file (a device may have no end)."""
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""


def at_work(process: subprocess.Popen[str], address: str, log: Path) -> dict[str, Any]:
    """The status of a server once it has made mattes; RuntimeError with its words if it ends."""
    link = open_client_link(address)

    def look() -> dict[str, Any] | None:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {said_in(log)}")
        try:
            status = status_of(link, timeout_s=ASKED_AGAIN_S)
        except PromptMatteError:
            return None
        return status if status["mattes_out"] else None

    try:
        return until(look)
    finally:
        link.close()
