"""The Task Scheduler of Windows: a task at logon, and schtasks."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

from promptmatte.errors import ConfigError
from promptmatte.service.job import Job, state_folder, write_file
from promptmatte.service.manager import Found, tool_output

NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
FOLDER = "PromptMatte"

SETTINGS = {
    "MultipleInstancesPolicy": "IgnoreNew",
    "DisallowStartIfOnBatteries": "false",
    "StopIfGoingOnBatteries": "false",
    "StartWhenAvailable": "true",
    "Enabled": "true",
    "ExecutionTimeLimit": "PT0S",  # none; the default ends a task after three days
    "Priority": "5",  # the default, 7, is below normal
}


def task_text(job: Job, *, user: str) -> str:
    r"""The XML of a task of this user (DOMAIN\name), to be written as UTF-16.

    It runs while the user is logged on. ConfigError for %NAME% of a variable that there is: the
    scheduler would put its value there, and knows no escape. A task has no environment of its
    own: it gets the user's.
    """
    for part in (*job.command, str(job.folder)):
        for name in re.findall("%([^%]+)%", part):
            if name in os.environ:
                raise ConfigError(
                    f"expected no %{name}% in what a task runs, as it is replaced; got {part!r}"
                )
    task = ET.Element("Task", version="1.2", xmlns=NAMESPACE)
    _add(_part(task, "RegistrationInfo"), Description="PromptMatte: keys live video")
    _add(_part(_part(task, "Triggers"), "LogonTrigger"), Enabled="true", UserId=user)
    principal = _part(_part(task, "Principals"), "Principal", id="Author")
    _add(principal, UserId=user, LogonType="InteractiveToken", RunLevel="LeastPrivilege")
    settings = _part(task, "Settings")
    _add(settings, **SETTINGS)
    _add(_part(settings, "RestartOnFailure"), Interval="PT1M", Count="999")
    command, *arguments = job.command
    _add(
        _part(_part(task, "Actions", Context="Author"), "Exec"),
        Command=command,
        Arguments=subprocess.list2cmdline(arguments),
        WorkingDirectory=str(job.folder),
    )
    ET.indent(task)
    text: str = ET.tostring(task, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-16"?>\n{text}\n'


class WindowsTask:
    """schtasks, with the XML of tasks kept beside the log."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or state_folder()

    def file(self, name: str) -> Path:
        """The XML."""
        return self._folder / f"{name}.xml"

    def install(self, job: Job) -> None:
        """Makes the task anew and runs it."""
        text = task_text(job, user=_user())
        write_file(self.file(job.name), text.encode("utf-16"))
        tool_output("schtasks", "/End", "/TN", _task(job.name), may_fail=True)
        tool_output(
            "schtasks", "/Create", "/TN", _task(job.name), "/XML", str(self.file(job.name)), "/F"
        )
        self.start(job.name)

    def start(self, name: str) -> None:
        """Runs the task."""
        tool_output("schtasks", "/Run", "/TN", _task(name))

    def stop(self, name: str) -> None:
        """Ends the supervisor; the server, whose input ends, stops by itself."""
        tool_output("schtasks", "/End", "/TN", _task(name))

    def found(self, name: str) -> Found:
        """What the scheduler knows of the task, in the system's language."""
        shown = tool_output("schtasks", "/Query", "/TN", _task(name), "/FO", "LIST", may_fail=True)
        words = (
            "no such task"
            if shown is None
            else "; ".join(" ".join(line.split()) for line in shown.splitlines() if line.strip())
        )
        return Found(installed=shown is not None, words=words)

    def uninstall(self, name: str) -> None:
        """Ends and removes the task."""
        tool_output("schtasks", "/End", "/TN", _task(name), may_fail=True)
        tool_output("schtasks", "/Delete", "/TN", _task(name), "/F", may_fail=True)
        self.file(name).unlink(missing_ok=True)


def _task(name: str) -> str:
    return f"\\{FOLDER}\\{name}"


def _user() -> str:
    domain, name = os.environ.get("USERDOMAIN", ""), os.environ.get("USERNAME", "")
    return f"{domain}\\{name}" if domain else name


def _part(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, attributes)


def _add(parent: ET.Element, **texts: str) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = text
