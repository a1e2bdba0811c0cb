"""What starts services on this system, and its tools."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from promptmatte.errors import ServiceError
from promptmatte.service.job import Job

TOOL_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the system knows of a service; words: its own, in one line."""

    installed: bool
    words: str


class Manager(Protocol):
    """One kind of system; every method raises ServiceError when a tool fails."""

    def file(self, name: str) -> Path:
        """The file that says what the service is."""
        ...

    def install(self, job: Job) -> None:
        """Writes the file, has the service started at every login, and starts it now; one of
        that name that runs is replaced."""
        ...

    def start(self, name: str) -> None:
        """Starts an installed service; one that runs goes on."""
        ...

    def stop(self, name: str) -> None:
        """Ends it, until the next login."""
        ...

    def found(self, name: str) -> Found:
        """What there is."""
        ...

    def uninstall(self, name: str) -> None:
        """Ends it and takes it away."""
        ...


def system_manager() -> Manager:
    """The manager of this system."""
    if sys.platform == "win32":
        from promptmatte.service.windows_task import WindowsTask

        return WindowsTask()
    if sys.platform == "darwin":
        from promptmatte.service.launchd import Launchd

        return Launchd()
    from promptmatte.service.systemd import Systemd

    return Systemd()


def tool_output(*arguments: str, may_fail: bool = False, help: str = "") -> str | None:  # noqa: A002
    """What a tool prints; None when it fails and may. ServiceError, with its words and help,
    when it fails, and when there is no such tool."""
    path = shutil.which(arguments[0])
    if path is None:
        raise ServiceError(
            f"expected {arguments[0]} on this system; it is not on PATH: start "
            "`promptmatte service run` by what starts programs here"
        )
    try:
        done = subprocess.run(
            [path, *arguments[1:]], stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", errors="replace", timeout=TOOL_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"cannot run {arguments[0]}: {error}") from error
    if done.returncode == 0:
        return done.stdout
    if may_fail:
        return None
    said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
    raise ServiceError(f"{' '.join(arguments[:3])} failed: {said}{help and f': {help}'}")
