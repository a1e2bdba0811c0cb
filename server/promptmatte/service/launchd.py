"""launchd, for the user who logs in on a Mac: agents and launchctl."""

from __future__ import annotations

import os
import plistlib
import re
from pathlib import Path
from typing import Any

from promptmatte.service.job import Job, write_file
from promptmatte.service.manager import Found, tool_output


def agent_text(job: Job) -> str:
    """The property list of a job (launchd.plist(5)).

    launchd restarts the supervisor unless it ended with 0, so also after a SIGKILL, which is no
    crash to it; `promptmatte service run` ends with 0 there for a show that cannot be used. The
    supervisor restarts the server.
    """
    agent: dict[str, Any] = {
        "Label": job.name,
        "ProgramArguments": list(job.command),
        "WorkingDirectory": str(job.folder),
        "EnvironmentVariables": dict(job.environment),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ExitTimeOut": 40,
        "ProcessType": "Interactive",  # the others get less of processor and disk
        "StandardErrorPath": str(job.log.with_suffix(".supervisor.log")),
    }
    return plistlib.dumps(agent, sort_keys=False).decode()


class Launchd:
    """launchctl, with agents in one folder."""

    def __init__(self, folder: Path | None = None, *, uid: int | None = None) -> None:
        self._folder = folder or Path.home() / "Library" / "LaunchAgents"
        own: int = getattr(os, "getuid", lambda: 0)()  # Windows has none, and no launchd
        self._domain = f"gui/{own if uid is None else uid}"

    def file(self, name: str) -> Path:
        """The property list."""
        return self._folder / f"{name}.plist"

    def install(self, job: Job) -> None:
        """Writes the agent and loads it anew, which starts it."""
        write_file(self.file(job.name), agent_text(job).encode())
        tool_output("launchctl", "bootout", self._target(job.name), may_fail=True)
        tool_output("launchctl", "enable", self._target(job.name))
        tool_output("launchctl", "bootstrap", self._domain, str(self.file(job.name)))

    def start(self, name: str) -> None:
        """Starts the agent, loaded first where it is not."""
        if tool_output("launchctl", "print", self._target(name), may_fail=True) is None:
            tool_output("launchctl", "bootstrap", self._domain, str(self.file(name)))
        else:
            tool_output("launchctl", "kickstart", self._target(name))

    def stop(self, name: str) -> None:
        """Ends the process; the agent stays loaded."""
        tool_output("launchctl", "kill", "SIGTERM", self._target(name), may_fail=True)

    def found(self, name: str) -> Found:
        """What launchd knows of the agent."""
        shown = tool_output("launchctl", "print", self._target(name), may_fail=True)
        facts = re.findall(r"^\s*((?:state|runs|last exit code) = .*)$", shown or "", re.MULTILINE)
        words = "not loaded" if shown is None else ", ".join(facts)
        return Found(installed=self.file(name).is_file(), words=words)

    def uninstall(self, name: str) -> None:
        """Ends and removes the agent."""
        tool_output("launchctl", "bootout", self._target(name), may_fail=True)
        self.file(name).unlink(missing_ok=True)

    def _target(self, name: str) -> str:
        return f"{self._domain}/{name}"
