"""The program under test, driven by lines of JSON."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, Any

from promptmatte.conformance.check import CheckFailedError, Deadline, shortened
from promptmatte.errors import ConfigError

MAX_LINE_BYTES = 1 << 20
STOP_S = 5.0
ERROR_BYTES = 200


class Candidate:
    """A running client program; every wait for it ends with the check's deadline."""

    def __init__(self, command: Sequence[str], deadline: Deadline) -> None:
        """ConfigError if there is no such program."""
        self._deadline = deadline
        self._asked: list[str] = []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed in stop()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # so that a program behind a wrapper is ended with it
            )
        except OSError as error:
            self._errors.close()
            raise ConfigError(f"expected a program to run; got {command[0]!r}: {error}") from error
        self._to_write: queue.Queue[bytes | None] = queue.Queue()
        self._read: queue.Queue[bytes] = queue.Queue()
        self._threads = [
            threading.Thread(target=work, args=(pipe,), name=f"conformance-{name}", daemon=True)
            for name, work, pipe in (
                ("writer", self._write_lines, self._process.stdin),
                ("reader", self._read_lines, self._process.stdout),
            )
        ]
        for thread in self._threads:
            thread.start()

    def _write_lines(self, pipe: IO[bytes]) -> None:
        """On a thread of its own: a candidate that does not read would hold the suite."""
        with contextlib.suppress(OSError):
            while (line := self._to_write.get()) is not None:
                pipe.write(line)
                pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()

    def _read_lines(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := pipe.readline(MAX_LINE_BYTES):
                self._read.put(line)
        self._read.put(b"")

    def tell(self, do: str, **fields: Any) -> None:
        """Sends a line without waiting for the answer."""
        self._asked.append(do)
        self._to_write.put(json.dumps({"do": do, **fields}, separators=(",", ":")).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest line that has none yet; CheckFailedError without one."""
        do = self._asked.pop(0)
        expected = f"an answer to {do!r} within {self._deadline.limit_s:g} s"
        try:
            line = self._read.get(timeout=self._deadline.left_s)
        except queue.Empty:
            raise CheckFailedError(expected, "none") from None
        if not line:
            raise CheckFailedError(expected, self._last_words())
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            line_form = f'a line of JSON with "ok" as the answer to {do!r}'
            raise CheckFailedError(line_form, shortened(line))
        return answer

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """The answer to a line, which may be an error."""
        self.tell(do, **fields)
        return self.answer()

    def do(self, do: str, **fields: Any) -> dict[str, Any]:
        """The answer to a line that must succeed."""
        answer = self.ask(do, **fields)
        if not answer["ok"]:
            raise CheckFailedError(f"success of {do!r}", shortened(answer))
        return answer

    def _last_words(self) -> str:
        """Why there are no more answers."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - ERROR_BYTES))
        said = " ".join(self._errors.read().decode(errors="replace").split())
        return f"the program's end, exit status {self._process.poll()}: {said}"

    def end(self) -> int:
        """The exit status after the end of its input; CheckFailedError if it goes on."""
        self._to_write.put(None)
        try:
            return self._process.wait(self._deadline.left_s)
        except subprocess.TimeoutExpired:
            expected = f"the program's end within {self._deadline.limit_s:g} s of its input's"
            raise CheckFailedError(expected, "a program that goes on") from None

    def kill(self) -> None:
        """Ends it without a chance to tidy up."""
        if sys.platform == "win32":
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)

    def stop(self) -> None:
        """Ends it in any case."""
        self.kill()
        self._to_write.put(None)
        for thread in self._threads:
            thread.join(STOP_S)
        if self._process.stdout is not None and not self._threads[1].is_alive():
            self._process.stdout.close()
        self._errors.close()
