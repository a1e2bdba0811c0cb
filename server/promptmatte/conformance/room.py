"""What a check works in: a session name of its own, candidates, servers, a deadline."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from promptmatte_shm import (
    LayoutError,
    ServerSession,
    SessionBusyError,
    SessionNotFoundError,
    ShmError,
)
from promptmatte_shm.directory import Channel, Directory, directory_name, ring_name
from promptmatte_shm.segment import Segment, unlink

from promptmatte.conformance.candidate import Candidate
from promptmatte.conformance.check import CheckFailedError, Deadline, shortened

T = TypeVar("T")
Handler = Callable[[Mapping[str, Any]], dict[str, Any]]

POLL_S = 0.005
SHM = Path("/dev/shm")  # noqa: S108  Linux shows shared memory there


def echo(command: Mapping[str, Any]) -> dict[str, Any]:
    """Repeats a command."""
    return {"ok": True, "command": dict(command)}


class Room:
    """One check's surroundings; everything in it is ended and removed at the end."""

    def __init__(self, command: Sequence[str], limit_s: float) -> None:
        self.name = f"c{secrets.token_hex(6)}"
        self.deadline = Deadline(limit_s)
        self._command = command
        self._candidates: list[Candidate] = []
        self._servers: list[ServerSession] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def client(self) -> Candidate:
        """A candidate that has opened the session."""
        candidate = self.program()
        candidate.do("open", session=self.name)
        return candidate

    def program(self) -> Candidate:
        """A candidate that has been started."""
        candidate = Candidate(self._command, self.deadline)
        self._candidates.append(candidate)
        return candidate

    def server(self, handler: Handler | None = echo) -> ServerSession:
        """A server in this process; without a handler it answers no request."""
        server = self.until("a session that is free", self._new_server)
        self._servers.append(server)
        if handler is not None:
            server.serve(handler)
        return server

    def _new_server(self) -> ServerSession | None:
        try:
            return ServerSession(self.name)
        except SessionBusyError:  # a process that is just being started copies the last one's lock
            return None

    def server_process(self, role: str) -> subprocess.Popen[bytes]:
        """A server that can be killed, once it is ready."""
        process = subprocess.Popen(
            [sys.executable, "-m", "promptmatte.conformance.server_process", role, self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._processes.append(process)
        if process.stdout is None or process.stdout.readline().strip() != b"ready":
            raise ShmError("the suite's own server did not start")
        return process

    def connected(self, candidate: Candidate) -> Candidate:
        """The candidate, once it says that it sees the server's heart beat."""
        self.until("a client that is connected", lambda: candidate.do("status")["connected"])
        return candidate

    def pair(self, handler: Handler | None = echo) -> tuple[ServerSession, Candidate]:
        """A server and a candidate that are connected."""
        server = self.server(handler)
        return server, self.connected(self.client())

    def parted(self, candidate: Candidate) -> None:
        """Waits until the candidate says that no server lives."""
        self.until(
            "a client that notices that its server has gone",
            lambda: not candidate.do("status")["connected"],
        )

    def until(self, what: str, condition: Callable[[], T | None]) -> T:
        """The condition's first true value; CheckFailedError at the deadline."""
        value = condition()
        while not value:
            if not self.deadline.left_s:
                got = f"{shortened(value)} for {self.deadline.limit_s:g} s"
                raise CheckFailedError(what, got)
            time.sleep(POLL_S)
            value = condition()
        return value

    def directory(self) -> Directory:
        """The session's directory, seen as another program sees it."""
        return Directory.attach(self.name)

    def ring_name(self, channel: Channel) -> str:
        """Name of the ring the channel's record names; CheckFailedError without a record."""
        record = self.directory().record(channel)
        if record is None:
            raise CheckFailedError(f"a record of {channel.name.lower()}", "none")
        return ring_name(self.name, channel, record.generation)

    def close(self) -> None:
        """Ends what runs and removes what is left, whatever the candidates did."""
        for candidate in self._candidates:
            candidate.stop()
        for process in self._processes:
            process.kill()
            process.communicate()
        for server in self._servers:
            server.close()
        for name in self._leftovers():
            with contextlib.suppress(ShmError):
                unlink(name)
        for path in Path(tempfile.gettempdir()).glob(f"promptmatte_shm.{self.name}.*.lock"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _leftovers(self) -> Iterator[str]:
        if SHM.is_dir():
            yield from (path.name for path in SHM.glob(f"pm_{self.name}.*"))
        with contextlib.suppress(ShmError):
            for channel in Channel:
                if record := self.directory().record(channel):
                    yield ring_name(self.name, channel, record.generation)
        yield directory_name(self.name)

    def __enter__(self) -> Room:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def exists(name: str) -> bool:
    """Whether a segment of this name can be opened."""
    try:
        Segment.attach(name, 0)
    except SessionNotFoundError:
        return False
    except LayoutError:
        return True
    return True


def expect_gone(what: str, name: str) -> None:
    """CheckFailedError while the segment has a name. Windows removes one with its last
    handle, so nothing can be left over there and nothing is checked."""
    if sys.platform != "win32" and exists(name):
        raise CheckFailedError(f"{what} to be removed", f"{name} is still there")
