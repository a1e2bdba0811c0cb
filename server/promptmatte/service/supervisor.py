"""Keeps the server running: its words in the log, another start when it fell."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from promptmatte.service.log_file import LogFile

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0

STEADY_S = 60.0
"""A server that ran for so long begins with a short wait again when it falls."""

UNUSABLE = 2
"""Exit code for options or a show that cannot be used."""

NOT_STARTED = 1
"""Stands for the exit code of a server that the system could not start (no memory, say)."""

MOST_UNUSABLE = 5
"""So often in a row is that not believed after a fall: what the fallen server had may still be
taken for a moment."""

POLL_S = 0.1
LONGEST_LINE = 8192

END_S = (25.0, 5.0)
"""For the server to end once its input is closed, and once it is told to."""


def serve_command(options: Sequence[str]) -> list[str]:
    """The server of a service, with these options of `promptmatte serve`."""
    own = ("--until-input-ends", "--wait-for-links")
    return [sys.executable, "-m", "promptmatte", "serve", *own, *options]


class Supervisor:
    """Runs one command again and again until it ends well, cannot be used, or is not wanted.

    The server runs with its standard input open and ends when that is closed, also by the death
    of the supervisor: this holds on every system, where signals do not.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: LogFile,
        first_wait_s: float = FIRST_WAIT_S,
        end_s: tuple[float, float] = END_S,
    ) -> None:
        self._command = list(command)
        self._log = log
        self._first_wait_s = first_wait_s
        self._end_s = end_s

    def run(self, stop: threading.Event) -> int:
        """The exit code: 0 when the server ended well or was stopped, else 2, for options or a
        show that cannot be used."""
        falls = unusable = 0
        while not stop.is_set():
            began_s = time.monotonic()
            code = self._run_once(stop)
            if stop.is_set() or code == 0:
                break
            unusable = unusable + 1 if code == UNUSABLE else 0
            if unusable and (falls == 0 or unusable == MOST_UNUSABLE):
                self._log.write(
                    "service: not started again, as the server cannot use its options or show: "
                    "put right what the line above says, then `promptmatte service start`"
                )
                return UNUSABLE
            lasted_s = time.monotonic() - began_s
            falls = 1 if lasted_s >= STEADY_S else falls + 1
            wait_s = min(self._first_wait_s * 2 ** (falls - 1), LONGEST_WAIT_S)
            self._log.write(
                f"service: the server ended with {_named(code)} after {lasted_s:.0f} s; "
                f"again in {wait_s:g} s"
            )
            stop.wait(wait_s)
        self._log.write("service: ended")
        return 0

    def _run_once(self, stop: threading.Event) -> int:
        """Runs the server to its end; its exit code."""
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            self._log.write(f"service: cannot start the server: {error}")
            return NOT_STARTED
        self._log.write(f"service: started the server, process {process.pid}")
        assert process.stdin is not None
        assert process.stdout is not None
        reader = threading.Thread(
            target=self._copy, args=(process.stdout,), name="promptmatte-log", daemon=True
        )
        reader.start()
        try:
            while process.poll() is None and not stop.wait(POLL_S):
                pass
        finally:
            process.stdin.close()
            code = self._ended(process)
            # A child of the server's that lives on holds the pipe; its words are not waited for.
            reader.join(self._end_s[1])
            if not reader.is_alive():
                process.stdout.close()
        return code

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """The exit code of a process that was asked to end; it is made to where it does not."""
        for wait_s, then in zip(self._end_s, (process.terminate, process.kill), strict=True):
            try:
                return process.wait(wait_s)
            except subprocess.TimeoutExpired:
                then()
        return process.wait()

    def _copy(self, output: IO[bytes]) -> None:
        while line := output.readline(LONGEST_LINE):
            if text := line.decode("utf-8", "replace").rstrip():
                self._log.write(text)


def _named(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
