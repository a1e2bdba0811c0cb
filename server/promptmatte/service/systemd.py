"""systemd, for the user who logs in: unit files and systemctl --user."""

from __future__ import annotations

import os
from pathlib import Path

from promptmatte.service.job import Job, write_file
from promptmatte.service.manager import Found, tool_output

HELP = (
    "services need a login session of this user with systemd (over ssh: `loginctl enable-linger`, "
    "then log in again)"
)

UNIT = """\
[Unit]
Description=PromptMatte: keys live video by typing a name
# However often it fell: a show has to come back.
StartLimitIntervalSec=0

[Service]
Type=exec
WorkingDirectory={folder}
{environment}ExecStart=:{command}
# The supervisor restarts the server, and waits longer each time; this restarts the supervisor.
Restart=on-failure
# An option or show that cannot be used: a restart would not help.
RestartPreventExitStatus=2
RestartSec=5
# The supervisor lets the server end; what is left after that is killed.
KillMode=mixed
TimeoutStopSec=40

[Install]
WantedBy=default.target
"""


def unit_text(job: Job) -> str:
    """The unit file of a job (systemd.service(5), systemd.syntax(7)).

    The colon before the command turns off $VARIABLES; % begins a specifier everywhere, and a
    path alone is not quoted.
    """
    environment = "".join(
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in job.environment.items()
    )
    # systemd takes no program with a quote or backslash in its path, but env does.
    needs_env = any(sign in str(job.python) for sign in "\"'\\")
    command = ("/usr/bin/env", *job.command) if needs_env else job.command
    return UNIT.format(
        folder=str(job.folder).replace("%", "%%"),
        environment=environment,
        command=" ".join(map(_quoted, command)),
    )


class Systemd:
    """systemctl --user, with unit files in one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        self._folder = folder or Path(config) / "systemd" / "user"

    def file(self, name: str) -> Path:
        """The unit file."""
        return self._folder / _unit(name)

    def install(self, job: Job) -> None:
        """Writes the unit, enables and starts it anew."""
        write_file(self.file(job.name), unit_text(job).encode())
        _systemctl("daemon-reload")
        _systemctl("enable", _unit(job.name))
        _systemctl("restart", _unit(job.name))

    def start(self, name: str) -> None:
        """Starts the unit."""
        _systemctl("start", _unit(name))

    def stop(self, name: str) -> None:
        """Stops the unit."""
        _systemctl("stop", _unit(name))

    def found(self, name: str) -> Found:
        """What systemd knows of the unit."""
        properties = "ActiveState,SubState,Result,NRestarts,UnitFileState"
        shown = _systemctl("show", _unit(name), f"--property={properties}", may_fail=True)
        words = "systemd does not answer" if shown is None else " ".join(shown.split())
        return Found(installed=self.file(name).is_file(), words=words)

    def uninstall(self, name: str) -> None:
        """Stops and removes the unit."""
        _systemctl("disable", "--now", _unit(name), may_fail=not self.file(name).is_file())
        self.file(name).unlink(missing_ok=True)
        _systemctl("daemon-reload")
        _systemctl("reset-failed", _unit(name), may_fail=True)


def _systemctl(*arguments: str, may_fail: bool = False) -> str | None:
    return tool_output("systemctl", "--user", *arguments, may_fail=may_fail, help=HELP)


def _unit(name: str) -> str:
    return f"{name}.service"


def _quoted(text: str) -> str:
    for sign, escape in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        text = text.replace(sign, escape)
    return f'"{text}"'
