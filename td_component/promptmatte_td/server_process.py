"""The server as a process of its own: started, watched, started again, ended with the component."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from promptmatte_td.launch import clean_environment

REFUSED = 2
"""How promptmatte ends for input that it cannot use: trying again would not help."""

HEALTHY_S = 30.0
LONGEST_WAIT_S = 30.0
GRACE_S = 8.0
KEPT_LINES = 500
_HIDDEN_WINDOW = 0x0800_0000 | 0x0000_0200  # CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP


class ServerProcess:
    """One server. `lines` holds what it says until somebody takes it; `state` says how it is.

    A server that ends by itself is started again after 1, 2, 4 ... 30 s, and after 1 s again
    once it has run for HEALTHY_S. Nothing here waits but its own threads. When this process
    ends, however it does, the server's input is closed and the server ends too.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.state = "not started"
        self.failed = False
        """Whether it gave up: the server refused its options or cannot be started."""
        self.restarts = 0
        self._run: _Run | None = None

    @property
    def active(self) -> bool:
        """Whether it is started, or waits to be."""
        return self._run is not None and self._run.is_alive()

    @property
    def pid(self) -> int | None:
        """The running server's process id."""
        process = self._run.process if self._run else None
        return process.pid if process is not None and process.poll() is None else None

    def start(self, command: Sequence[str]) -> None:
        """Starts it, after the end of the one before."""
        before = self._run
        if before is not None:
            before.end()
        self.failed = False
        self._run = _Run(self, list(command), before)
        self._run.start()

    def stop(self) -> None:
        """Ends it, in the background."""
        if self._run is not None:
            self._run.end()

    def join(self, timeout_s: float) -> None:
        """Waits for its end; for tests and for a program that closes."""
        if self._run is not None:
            self._run.join(timeout_s)


class _Run(threading.Thread):
    """One start to one stop, with as many processes as it takes."""

    def __init__(self, owner: ServerProcess, command: list[str], before: _Run | None) -> None:
        super().__init__(name="promptmatte-td-server", daemon=True)
        self._owner = owner
        self._command = command
        self._before = before
        self._ended = threading.Event()
        self.process: subprocess.Popen[str] | None = None

    def end(self) -> None:
        """Asks for the end; safe to call twice."""
        if not self._ended.is_set():
            self._ended.set()
            threading.Thread(target=self._end_process, daemon=True).start()

    def run(self) -> None:
        if self._before is not None:
            self._before.join()
        owner, wait_s = self._owner, 1.0
        while not self._ended.is_set():
            begun_s = owner._clock()
            code = self._one_process()
            if self._ended.is_set():
                break
            if code is None or code == REFUSED:
                owner.failed = True
                owner.state = f"the server cannot start: {owner.lines[-1] if owner.lines else ''}"
                return
            wait_s = 1.0 if owner._clock() - begun_s > HEALTHY_S else wait_s
            owner.state = f"the server ended (code {code}); starts again in {wait_s:g} s"
            owner.lines.append(owner.state)
            self._ended.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            owner.restarts += not self._ended.is_set()
        owner.state = "stopped"

    def _one_process(self) -> int | None:
        """Runs it to its end; its exit code, or None if there is no such program."""
        owner = self._owner
        owner.state = "starting"
        owner.lines.append("> " + subprocess.list2cmdline(self._command))
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=clean_environment(os.environ),
                encoding="utf-8",
                errors="replace",
                creationflags=_HIDDEN_WINDOW if sys.platform == "win32" else 0,
            )
        except OSError as error:
            owner.lines.append(str(error))
            return None
        self.process = process
        owner.state = "started"
        if self._ended.is_set():
            self._end_process()
        if process.stdout is not None:
            with process.stdout as output:
                for line in output:
                    owner.lines.append(line.rstrip())
        _close_input(process)
        return process.wait()

    def _end_process(self) -> None:
        process = self.process
        if process is None or process.poll() is not None:
            return
        _close_input(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            return
        process.kill()


def _close_input(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
