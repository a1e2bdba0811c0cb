"""A stand-in for what starts services: systemctl, launchctl and schtasks that really start them.

Run as `service_system.py FOLDER TOOL ARGUMENTS`. Each service has a keeper, a process of its own,
which starts it anew as its file says. Everything they know lies in FOLDER, a folder for each
service: `command` (what to run, as JSON), `pid` while it runs, `codes` (how it ended, a line each),
and `ending` from when it was told to end.
"""

from __future__ import annotations

import configparser
import json
import os
import plistlib
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

AGAIN_S = 0.3
PATIENCE_S = 60.0


class Service:
    """One of them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir(exist_ok=True)

    def start(self, job: dict[str, Any]) -> None:
        """Starts its keeper, unless there is one."""
        if self.is_kept():
            return
        (self.folder / "ending").unlink(missing_ok=True)
        (self.folder / "command").write_text(json.dumps(job), encoding="utf-8")
        (self.folder / "pid").write_text("", encoding="utf-8")
        subprocess.Popen(
            [sys.executable, __file__, str(self.folder.parent), "keep", self.folder.name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        wait_for(lambda: self.pid() or not self.is_kept())

    def keep(self) -> None:
        """Runs it until it was told to end, or ends in a way that is left at that."""
        job = json.loads((self.folder / "command").read_text(encoding="utf-8"))
        while True:
            process = subprocess.Popen(
                job["command"], cwd=job["folder"],
                env={**job["environment"], "PATH": os.environ["PATH"], "TMPDIR": str(self.folder)},
            )  # fmt: skip
            (self.folder / "pid").write_text(str(process.pid), encoding="utf-8")
            code = process.wait()
            with (self.folder / "codes").open("a", encoding="utf-8") as codes:
                codes.write(f"{code}\n")
            if code in job["left"] or (self.folder / "ending").exists():
                break
            time.sleep(AGAIN_S)
        (self.folder / "pid").unlink()

    def is_kept(self) -> bool:
        """Whether it runs, or will again."""
        return (self.folder / "pid").exists()

    def pid(self) -> int | None:
        """The process that runs now."""
        try:
            return int((self.folder / "pid").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def end(self, how: signal.Signals, *, for_good: bool) -> None:
        """Sends a signal, which it need not have followed yet."""
        if for_good:
            (self.folder / "ending").touch()
        if (pid := self.pid()) is not None:
            os.kill(pid, how)


def wait_for(look: Any) -> None:
    """Until it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        if time.monotonic() > deadline:
            sys.exit("timed out")
        time.sleep(0.02)


def systemctl(folder: Path, verb: str, *rest: str) -> int:
    """systemctl --user: stop returns when the service has ended."""
    if verb in ("daemon-reload", "enable", "reset-failed"):
        return 0
    unit = rest[-1] if verb != "show" else rest[0]
    service = Service(folder, unit.removesuffix(".service"))
    if verb in ("stop", "restart", "disable"):
        service.end(signal.SIGTERM, for_good=True)
        wait_for(lambda: not service.is_kept())
    if verb in ("start", "restart"):
        text = (folder / "units" / unit).read_text(encoding="utf-8")
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        given = [unquoted(line.partition("=")[2])[0] for line in text.splitlines()
                 if line.startswith("Environment=")]  # fmt: skip
        service.start(
            {
                "command": unquoted(parser["Service"]["ExecStart"].removeprefix(":")),
                "folder": parser["Service"]["WorkingDirectory"].replace("%%", "%"),
                "environment": dict(line.split("=", 1) for line in given),
                "left": [0, int(parser["Service"]["RestartPreventExitStatus"])],
            }
        )
    if verb == "show":
        print(f"ActiveState={'active' if service.is_kept() else 'inactive'}")
    return 0


def unquoted(text: str) -> list[str]:
    """The words that systemd reads."""
    return [word.replace("%%", "%") for word in shlex.split(text)]


def launchctl(folder: Path, verb: str, *rest: str) -> int:
    """launchctl: kill and bootout return at once."""
    if verb == "enable":
        return 0
    name = Path(rest[-1]).name.removesuffix(".plist")
    service = Service(folder, name)
    loaded = service.folder / "loaded"
    if verb == "bootstrap":
        if loaded.exists() or service.is_kept():
            print("Bootstrap failed: 5: Input/output error", file=sys.stderr)
            return 5
        loaded.write_text(rest[-1], encoding="utf-8")
    elif not loaded.exists():
        print("Could not find service", file=sys.stderr)
        return 113
    if verb == "bootout":
        loaded.unlink()
        service.end(signal.SIGTERM, for_good=True)
    if verb == "kill":
        service.end(signal.Signals[rest[0]], for_good=False)
    if verb in ("bootstrap", "kickstart"):
        agent = plistlib.loads(Path(loaded.read_text(encoding="utf-8")).read_bytes())
        assert agent["KeepAlive"] == {"SuccessfulExit": False}
        service.start(
            {
                "command": agent["ProgramArguments"],
                "folder": agent["WorkingDirectory"],
                "environment": agent["EnvironmentVariables"],
                "left": [0],
            }
        )
    if verb == "print":
        print(f"\tstate = {'running' if service.is_kept() else 'not running'}")
    return 0


def schtasks(folder: Path, verb: str, *rest: str) -> int:
    """schtasks: /End kills, and a task has the environment of its user."""
    service = Service(folder, rest[1].rpartition("\\")[2])
    task = service.folder / "task.xml"
    if verb == "/Create":
        task.write_bytes(Path(rest[3]).read_bytes())
        return 0
    if not task.exists():
        print("ERROR: The system cannot find the file specified.", file=sys.stderr)
        return 1
    if verb == "/End":
        service.end(signal.SIGKILL, for_good=True)
    if verb == "/Run":
        from test_service_files import windows_words

        namespace = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
        found = ET.fromstring(task.read_text(encoding="utf-16")).find("t:Actions/t:Exec", namespace)
        assert found is not None
        command, arguments, where = (
            found.findtext(f"t:{tag}", "", namespace)
            for tag in ("Command", "Arguments", "WorkingDirectory")
        )
        wait_for(lambda: not (service.folder / "ending").exists() or not service.is_kept())
        service.start(
            {
                "command": [command, *windows_words(arguments)],
                "folder": where,
                "environment": dict(os.environ),
                "left": [0],
            }
        )
    if verb == "/Query":
        print(f"Status: {'Running' if service.is_kept() else 'Ready'}")
    if verb == "/Delete":
        task.unlink()
    return 0


if __name__ == "__main__":
    place, program, *words = sys.argv[1:]
    if program == "keep":
        Service(Path(place), words[0]).keep()
    else:
        words = words[1:] if program == "systemctl" else words
        sys.exit(globals()[program](Path(place), *words))
