"""The supervisor with real processes: falls, faults, ends, and what is in the log."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from links_testing import wait_for
from promptmatte.service.log_file import LogFile
from promptmatte.service.supervisor import Supervisor

COUNTED = """\
import os, sys, time
from pathlib import Path
path = Path(sys.argv[1])
starts = int(path.read_text()) + 1 if path.exists() else 1
path.write_text(str(starts))
print("start", starts, flush=True)
print("to stderr", file=sys.stderr, flush=True)
"""


class Room:
    """A supervisor of a Python program that knows how often it was started."""

    def __init__(
        self, folder: Path, program: str, *, end_s: tuple[float, float] = (30, 30)
    ) -> None:
        self.count = folder / "count"
        self.path = folder / "service.log"
        self.log = LogFile(self.path)
        command = [sys.executable, "-c", COUNTED + program, str(self.count)]
        self.supervisor = Supervisor(command, log=self.log, first_wait_s=0.01, end_s=end_s)
        self.stop = threading.Event()

    def run(self) -> int:
        code = self.supervisor.run(self.stop)
        self.log.close()
        return code

    @property
    def starts(self) -> int:
        return int(self.count.read_text() or 0) if self.count.exists() else 0

    @property
    def said(self) -> str:
        return self.path.read_text(encoding="utf-8")


def test_a_server_that_falls_is_started_again_and_again(tmp_path: Path) -> None:
    room = Room(tmp_path, "sys.exit(0 if starts == 4 else 1)")
    assert room.run() == 0
    assert room.starts == 4
    waits = [line.rpartition(" in ")[2] for line in room.said.splitlines() if "again in" in line]
    assert waits == ["0.01 s", "0.02 s", "0.04 s"]
    assert room.said.count("to stderr") == 4
    assert room.said.splitlines()[-1].endswith("service: ended")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are not on Windows")
def test_a_crash_is_named_and_its_last_words_are_kept(tmp_path: Path) -> None:
    program = "import faulthandler; faulthandler.enable()\nif starts == 1: os.abort()"
    room = Room(tmp_path, program)
    assert room.run() == 0
    assert "Fatal Python error: Aborted" in room.said
    assert f"ended with signal {signal.SIGABRT.value}" in room.said


def test_a_server_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    """Python is being replaced by an update, say."""
    path = tmp_path / "service.log"
    log = LogFile(path)
    program = tmp_path / "python"
    stop = threading.Event()
    supervisor = Supervisor([str(program)], log=log, first_wait_s=0.01)
    runner = threading.Thread(target=supervisor.run, args=(stop,))
    runner.start()
    wait_for(lambda: path.exists() and path.read_text("utf-8").count("cannot start") >= 2)
    stop.set()
    runner.join(30)
    log.close()
    assert not runner.is_alive()
    assert str(program) in path.read_text("utf-8")


def test_what_cannot_be_used_is_not_started_again(tmp_path: Path) -> None:
    room = Room(tmp_path, "print('promptmatte: expected this; got that'); sys.exit(2)")
    assert room.run() == 2
    assert room.starts == 1
    assert "expected this; got that" in room.said
    assert "not started again" in room.said


def test_after_a_fall_that_is_believed_only_after_some_tries(tmp_path: Path) -> None:
    """A port of the fallen server may still be taken for a moment."""
    room = Room(tmp_path, "sys.exit({1: 1, 2: 2, 3: 2}.get(starts, 0))")
    assert room.run() == 0
    assert room.starts == 4
    (tmp_path / "b").mkdir()
    room = Room(tmp_path / "b", "sys.exit(1 if starts == 1 else 2)")
    assert room.run() == 2
    assert room.starts == 6


def test_a_stop_closes_the_servers_input_and_waits_for_its_end(tmp_path: Path) -> None:
    room = Room(tmp_path, "sys.stdin.read(); print('ended well', flush=True)")
    runner = threading.Thread(target=room.run)
    runner.start()
    wait_for(lambda: room.starts == 1)
    room.stop.set()
    runner.join(30)
    assert not runner.is_alive()
    assert "ended well" in room.said
    assert room.starts == 1


def test_a_server_that_does_not_end_is_made_to(tmp_path: Path) -> None:
    program = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('stays', flush=True)\nwhile True: time.sleep(1)"
    )
    room = Room(tmp_path, program, end_s=(0.2, 0.5))
    runner = threading.Thread(target=room.run)
    runner.start()
    wait_for(lambda: room.starts == 1 and "stays" in room.said)
    room.stop.set()
    runner.join(30)
    assert not runner.is_alive()


def test_a_server_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    count = tmp_path / "count"
    ended = tmp_path / "ended"
    program = COUNTED + f"sys.stdin.read(); Path({str(ended)!r}).write_text('yes')"
    script = (
        "import sys, threading\nfrom pathlib import Path\n"
        "from promptmatte.service.log_file import LogFile\n"
        "from promptmatte.service.supervisor import Supervisor\n"
        "Supervisor(sys.argv[2:], log=LogFile(Path(sys.argv[1]))).run(threading.Event())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "log", sys.executable, "-c", program, count]
    ) as supervisor:
        wait_for(lambda: count.exists() and count.read_text())
        supervisor.kill()
        supervisor.wait(30)
    wait_for(ended.exists)
