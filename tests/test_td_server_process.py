"""The server as a child: real processes that end well, badly, never, or cannot be started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from links_testing import wait_for
from promptmatte_td.server_process import ServerProcess


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    process = ServerProcess()
    yield process
    process.stop()
    process.join(30.0)
    assert process.pid is None


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


UNTIL_INPUT_ENDS = "import sys; print('here', flush=True); sys.stdin.read(); print('bye')"


def said(server: ServerProcess, text: str) -> bool:
    """Whether a line says this; the one that repeats the command does not count."""
    return any(text in line for line in list(server.lines) if not line.startswith(">"))


def test_it_ends_when_its_input_does_and_all_it_said_is_there(server: ServerProcess) -> None:
    server.start(python(UNTIL_INPUT_ENDS))
    wait_for(lambda: said(server, "here"))
    assert server.state == "started"
    assert server.active
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 1.0, "stop does not wait"
    server.join(30.0)
    assert said(server, "bye")
    assert server.state == "stopped"
    assert not server.active


def test_one_that_dies_is_started_again_and_says_so(server: ServerProcess) -> None:
    server.start(python(UNTIL_INPUT_ENDS))
    first = wait_for(lambda: said(server, "here") and server.pid)
    os.kill(first, getattr(signal, "SIGKILL", signal.SIGTERM))
    wait_for(lambda: said(server, "starts again in 1 s"))
    second = wait_for(lambda: server.pid not in (None, first) and server.pid)
    os.kill(second, getattr(signal, "SIGKILL", signal.SIGTERM))
    wait_for(lambda: said(server, "starts again in 2 s"))
    assert server.restarts >= 1


def test_one_that_refuses_its_options_is_not_tried_again(server: ServerProcess) -> None:
    server.start(python("import sys; print('expected a source; got nothing'); sys.exit(2)"))
    wait_for(lambda: server.failed)
    assert server.state == "the server cannot start: expected a source; got nothing"
    server.join(10.0)
    assert server.restarts == 0


def test_a_program_that_is_not_there_is_told(server: ServerProcess, tmp_path: Path) -> None:
    server.start([str(tmp_path / "absent")])
    wait_for(lambda: server.failed)
    assert "absent" in server.state


def test_another_start_waits_for_the_end_of_the_one_before(server: ServerProcess) -> None:
    server.start(python(UNTIL_INPUT_ENDS))
    first = wait_for(lambda: said(server, "here") and server.pid)
    server.lines.clear()
    server.start(python(UNTIL_INPUT_ENDS))
    second = wait_for(lambda: server.pid not in (None, first) and server.pid)
    assert second != first
    wait_for(lambda: said(server, "here"))
    lines = list(server.lines)
    assert lines.index("bye") < lines.index("here")


def test_it_says_no_more_than_fits(server: ServerProcess) -> None:
    server.start(python("for n in range(5000): print('x' * 200, n)\nimport sys; sys.exit(2)"))
    wait_for(lambda: server.failed)
    assert len(server.lines) == 500
    assert said(server, "4999")


def test_it_ends_with_the_program_that_started_it_even_after_kill_9(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    starter = (
        "import sys, time\n"
        "from promptmatte_td.server_process import ServerProcess\n"
        "server = ServerProcess()\n"
        f"server.start([sys.executable, '-c', {UNTIL_INPUT_ENDS!r}])\n"
        "while server.pid is None: time.sleep(0.01)\n"
        f"open({str(mark)!r}, 'w').write(str(server.pid))\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(python(starter))
    child = int(wait_for(lambda: mark.is_file() and mark.read_text()))
    parent.kill()
    parent.wait()
    wait_for(lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.is_file() and state.read_text().split()[2] == "Z")
