"""promptmatte service: the server as a service, started at login and restarted."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from promptmatte_shm.lockfile import LockFile
from rich.console import Console
from rich.table import Table

from promptmatte.commands.config import checked_show, serve_parser
from promptmatte.commands.options import Subparsers
from promptmatte.commands.stopping import stop_event
from promptmatte.errors import ConfigError, PromptMatteError, ServiceError
from promptmatte.service.job import DEFAULT_NAME, Job, checked_name, log_path
from promptmatte.service.log_file import LogFile, LogReader
from promptmatte.service.manager import Manager, system_manager
from promptmatte.service.supervisor import Supervisor, serve_command

WAIT_S = 60.0
POLL_S = 0.5
LINES = 40
ROLE = "service"

LOCK_S = 2.0
"""Longest wait for the lock, which a look at whether the service runs holds for a moment."""

FREE_S = 15.0
"""Longest wait for the ports of a server that was stopped."""

END_S = 45.0
"""Longest wait for a service that was told to end; launchd and Windows do not wait for it."""


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """service, with its own commands."""
    parser = commands.add_parser("service", help="the server as a service, started at login")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    parsers = {
        name: actions.add_parser(name, help=text)
        for name, text in (
            ("install", "write the service, start it now and at every login"),
            ("start", "start it, once its ports are free"),
            ("stop", "end it until the next login"),
            ("status", "what the service and its server are doing"),
            ("logs", "what the server said"),
            ("uninstall", "end it and take it away; the log stays"),
            ("run", "what the service runs: the server, restarted when it falls"),
        )
    }
    install, logs, run = parsers["install"], parsers["logs"], parsers["run"]
    install.add_argument("--config", type=Path, metavar="FILE", help="the show to serve")
    for action in (install, run):
        action.add_argument("options", nargs="*", metavar="-- OPTIONS",
                            help="of `promptmatte serve`")  # fmt: skip
    for name in ("install", "start"):
        parsers[name].add_argument(
            "--wait", type=float, default=WAIT_S, metavar="S",
            help="seconds to wait for the server to start (default: %(default)g)",
        )  # fmt: skip
    logs.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    logs.add_argument("-n", "--lines", type=int, default=LINES, metavar="N",
                      help="the last N lines (default: %(default)s)")  # fmt: skip
    run.add_argument("--log-file", type=Path, metavar="FILE",
                     help="default: where `promptmatte service logs` looks")  # fmt: skip
    for name, action in parsers.items():
        action.add_argument("--name", default=DEFAULT_NAME, metavar="NAME",
                            help="for several services (default: %(default)s)")  # fmt: skip
        action.set_defaults(run=RUN[name])


def run_install(arguments: argparse.Namespace) -> int:
    """Checks the show, frees what it needs, writes the service and starts it."""
    options = list(arguments.options)
    if arguments.config:
        options = ["--config", str(arguments.config.absolute()), *options]
    job = Job.here(arguments.name, tuple(options))
    settings = _settings(job)
    manager = system_manager()
    was_running = is_running(job)
    if was_running:
        _end(job, manager)
    _free(settings, patience_s=FREE_S if was_running else 0.0)
    said = _from_now_on(job)
    job.record()
    manager.install(job)
    _say(f"{manager.file(job.name)}: started now and at every login; log: {job.log}")
    return _await_server(job, settings, arguments.wait, said)


def run_start(arguments: argparse.Namespace) -> int:
    """Starts an installed service."""
    job = Job.installed(arguments.name)
    if is_running(job):
        _say("it runs")
        return 0
    settings = _settings(job)
    _free(settings)
    said = _from_now_on(job)
    system_manager().start(job.name)
    return _await_server(job, settings, arguments.wait, said)


def run_stop(arguments: argparse.Namespace) -> int:
    """Stops an installed service and waits for its end; ServiceError when it goes on."""
    _end(Job.installed(arguments.name), system_manager())
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """Shows the service and its server: 0 while it runs, else 1."""
    job = Job.installed(arguments.name)
    manager = system_manager()
    found = manager.found(job.name)
    running = is_running(job)
    table = Table(show_header=False, box=None)
    table.add_row("service", f"{job.name}: {'runs' if running else 'does not run'}")
    table.add_row("installed", str(manager.file(job.name)) if found.installed else "no longer")
    table.add_row("system", found.words)
    table.add_row("log", str(job.log))
    try:
        links = _control_links(_settings(job))
        answers = ((link, _server_at(link)) for link in links)
        said = next((f"{link}: {state}" for link, state in answers if state), "does not answer")
    except PromptMatteError as error:
        said = str(error)
    table.add_row("server", said)
    Console(soft_wrap=True).print(table)
    return 0 if running else 1


def run_logs(arguments: argparse.Namespace) -> int:
    """Prints the end of the log, and with --follow what comes."""
    path = log_path(arguments.name)
    reader = LogReader(path)
    lines = reader.last(max(arguments.lines, 0))
    if not lines and not arguments.follow:
        raise ServiceError(f"expected a log in {path}; there is none yet: start the service")
    _write(lines)
    while arguments.follow:
        time.sleep(POLL_S)
        _write(reader.new())
    return 0


def run_uninstall(arguments: argparse.Namespace) -> int:
    """Removes the service."""
    name = checked_name(arguments.name)
    system_manager().uninstall(name)
    try:
        job = Job.installed(name)
    except ServiceError:
        _say(f"there was no record of a service {name}")
        return 0
    job.forget()
    _say(f"gone; the log stays in {job.log}")
    return 0


def run_run(arguments: argparse.Namespace) -> int:
    """Supervises the server until it ends or is to end: 0, or 2 for what cannot be used.

    On a Mac it is 0 for that too: launchd starts anew what ended otherwise.
    """
    name = checked_name(arguments.name)
    path = arguments.log_file or log_path(name)
    lock = _lock(name, path)
    deadline_s = time.monotonic() + LOCK_S
    while not (held := lock.acquire()) and time.monotonic() < deadline_s:
        time.sleep(POLL_S / 10)
    if not held:
        raise ServiceError(f"expected no service {name} that runs; there is one: stop it first")
    log = LogFile(path)
    stop = stop_event()
    # Lines of a log are longer than those of a terminal; a log in a block helps nobody.
    os.environ.update(COLUMNS="200", PYTHONUNBUFFERED="1", PYTHONUTF8="1")
    try:
        code = Supervisor(serve_command(arguments.options), log=log).run(stop)
        return 0 if sys.platform == "darwin" else code
    finally:
        log.close()
        lock.release()


RUN = {
    "install": run_install,
    "start": run_start,
    "stop": run_stop,
    "status": run_status,
    "logs": run_logs,
    "uninstall": run_uninstall,
    "run": run_run,
}


def is_running(job: Job) -> bool:
    """Whether a supervisor of this service runs, whatever started it."""
    lock = _lock(job.name, job.log)
    free = lock.acquire()
    lock.release()
    return not free


def _lock(name: str, log: Path) -> LockFile:
    """What the supervisor holds, beside its log: a service and the shell need not have the same
    temporary folder, which other users have services of that name in besides. ServiceError."""
    try:
        log.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"cannot make the folder of {log}: {error.strerror}") from error
    return LockFile(name, ROLE, folder=log.absolute().parent)


def _end(job: Job, manager: Manager) -> None:
    """Tells a service to end and waits for that; ServiceError when it goes on."""
    manager.stop(job.name)
    deadline_s = time.monotonic() + END_S
    while is_running(job):
        if time.monotonic() > deadline_s:
            raise ServiceError(
                f"expected the service {job.name} to end; it still runs: end `promptmatte service "
                "run`, which something else may have started"
            )
        time.sleep(POLL_S)


def _settings(job: Job) -> Mapping[str, Any]:
    """The settings of serve with the job's options, checked; ConfigError and the like."""
    if not job.folder.is_dir():
        raise ConfigError(f"expected the service's folder {job.folder}; there is none: install it")
    try:
        arguments = serve_parser().parse_args(list(job.options))
    except SystemExit as error:  # argparse has said what is wrong
        raise ConfigError(
            f"expected options of `promptmatte serve`; got {' '.join(job.options)}: put them right "
            "and install the service again"
        ) from error
    with contextlib.chdir(job.folder):
        checked_show(arguments)
    return vars(arguments)


def _free(settings: Mapping[str, Any], *, patience_s: float = 0.0) -> None:
    """Ends an old server of ours at the show's links; ServiceError for ports that others have."""
    from promptmatte.service.old_server import stopped
    from promptmatte.service.ports import ports_of

    for link in _control_links(settings):
        if stopped(link):
            _say(f"stopped the server that was at {link}")
            patience_s = FREE_S
    deadline_s = time.monotonic() + patience_s
    ports = ports_of(settings)
    while (taken := [port for port in ports if port.is_taken()]) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    if taken:
        raise ServiceError("; ".join(port.taken_by() for port in taken))


def _from_now_on(job: Job) -> LogReader:
    """A reader of what the service says from now on."""
    reader = LogReader(job.log)
    reader.last(0)
    return reader


def _await_server(job: Job, settings: Mapping[str, Any], wait_s: float, said: LogReader) -> int:
    """Waits until the server has started: 1, with what it said, when the service ends.

    It answers before it has opened all that it listens at.
    """
    from promptmatte.capture import STARTING

    links = _control_links(settings)
    deadline_s = time.monotonic() + wait_s
    lines: list[str] = []
    seen = False
    while time.monotonic() < deadline_s:
        for link in links:
            state = _server_at(link)
            if state not in (None, STARTING):
                _say(f"{link}: {state}")
                return 0
        runs = is_running(job)
        lines += said.new()
        if (seen or lines) and not runs:
            _write(lines)
            return 1
        seen = seen or runs
        time.sleep(POLL_S)
    _say("not started yet: `promptmatte service logs -f` shows what it does")
    return 0


def _control_links(settings: Mapping[str, Any]) -> list[str]:
    from promptmatte.service.old_server import control_links

    return control_links(settings)


def _server_at(link: str) -> str | None:
    from promptmatte.service.old_server import answer_of

    reply = answer_of(link)
    return str(reply["status"]["state"]) if reply and reply.get("ok") else None


def _say(line: str) -> None:
    Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _write(lines: Iterable[str]) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:  # which may hold what a Windows code page does not
        sys.stdout.write(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
