"""The server that the demo runs as a child process, and the demo's other children."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptmatte_shm import ClientSession, ServerSession, ShmError

from promptmatte.errors import PromptMatteError

START_S = 180.0
"""Longest start: a first import of torch from a slow disk takes a minute."""

STOP_S = 30.0
LINES_SHOWN = 6


class Child:
    """A Python module run by this interpreter; what it says goes to FOLDER/NAME.log."""

    def __init__(self, name: str, arguments: Sequence[str], *, folder: Path) -> None:
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """The end of what it said."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return "\n".join([line.rstrip() for line in lines if line.strip()][-LINES_SHOWN:])

    def wait(self, timeout_s: float) -> bool:
        """True when it has ended within this time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self.exit_code is not None

    def close(self) -> None:
        """Ends it, if it has not ended by itself."""
        if self.exit_code is None:
            self._process.terminate()
            if not self.wait(5.0):
                self._process.kill()
                self._process.wait()


class DemoServer:
    """`promptmatte serve` on a session of its own; leaves no process and no memory behind."""

    def __init__(self, session: str, arguments: Sequence[str], *, folder: Path) -> None:
        self._session = session
        self._report = folder / "server.json"
        self._child = Child(
            "server",
            [
                "promptmatte",
                "serve",
                f"--out=shm:{session}",
                f"--report={self._report}",
                *arguments,
            ],
            folder=folder,
        )
        self._client = ClientSession(session)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    @property
    def client(self) -> ClientSession:
        """The session's other end, which belongs to this object."""
        return self._client

    def wait_until_running(self) -> None:
        """Returns when frames come in; PromptMatteError when it ends or takes too long."""
        deadline_s = time.monotonic() + START_S
        state = "starting"
        while state != "running":
            if self._child.exit_code is not None:
                raise self._failure(f"the server ended with code {self._child.exit_code}")
            if time.monotonic() > deadline_s:
                raise self._failure(f"the server is not running after {START_S:g} s ({state})")
            time.sleep(0.05)
            with contextlib.suppress(ShmError):
                state = self._client.request({"command": "status"}, 1.0)["status"]["state"]

    def stop(self) -> dict[str, Any]:
        """Its last status; PromptMatteError when it ends without one."""
        with contextlib.suppress(ShmError):
            self._client.request({"command": "stop"}, 5.0)
        if not self._child.wait(STOP_S) or not self._report.is_file():
            raise self._failure("the server did not end as it should")
        status: dict[str, Any] = json.loads(self._report.read_text(encoding="utf-8"))
        return status

    def close(self) -> None:
        """Stops it if it still runs and removes what a killed one left in shared memory."""
        if self._child.exit_code is None:
            with contextlib.suppress(ShmError):
                self._client.request({"command": "stop"}, 1.0)
                self._child.wait(5.0)
        self._client.close()
        self._child.close()
        with contextlib.suppress(ShmError):
            ServerSession(self._session).close()

    def _failure(self, what: str) -> PromptMatteError:
        words = self._child.last_words()
        return PromptMatteError(f"{what}; it said: {words or 'nothing'}")
