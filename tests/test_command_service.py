"""promptmatte service as it is typed: real supervisors and servers under a stand-in system."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from promptmatte.cli import main
from promptmatte.commands import service as service_command
from promptmatte.service.job import Job
from promptmatte.service.launchd import Launchd
from promptmatte.service.log_file import LogFile
from promptmatte.service.manager import Manager
from promptmatte.service.old_server import answer_of
from promptmatte.service.systemd import Systemd
from promptmatte.service.windows_task import WindowsTask
from server_testing import DEADLINE_S, Server, status_of, wait_for
from service_system import Service
from service_tools import put_on_path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in system needs signals")

TESTS = Path(__file__).parent
NAME = "promptmatte"


class System:
    """A system that starts services, and a show for one of them in a folder of its own."""

    def __init__(self, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "system"
        self.folder.mkdir()
        tool = {"systemd": "systemctl", "launchd": "launchctl", "windows": "schtasks"}[kind]
        program = TESTS / "service_system.py"
        put_on_path(folder / "bin", monkeypatch, program, tool, before=str(self.folder))
        self.manager: Manager = {
            "systemd": lambda: Systemd(self.folder / "units"),
            "launchd": lambda: Launchd(self.folder / "agents", uid=501),
            "windows": lambda: WindowsTask(self.folder / "tasks"),
        }[kind]()
        monkeypatch.setattr(service_command, "system_manager", lambda: self.manager)
        monkeypatch.setenv("PROMPTMATTE_STATE", str(folder / "a state"))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        self.show = folder / "my show"
        self.show.mkdir()
        monkeypatch.chdir(self.show)

    def service(self, name: str = NAME) -> Service:
        return Service(self.folder, name)

    def codes(self, name: str = NAME) -> list[int]:
        path = self.service(name).folder / "codes"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def close(self) -> None:
        for path in self.folder.glob("*/pid"):
            service = self.service(path.parent.name)
            service.end(signal.SIGTERM, for_good=True)
            wait_for(lambda service=service: not service.is_kept())


@pytest.fixture(params=["systemd", "launchd", "windows"])
def system(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    made = System(request.param, tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    made = System("systemd", tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def options(session: str, picture: Path, tiny_weights: Path) -> list[str]:
    """A server that is quickly there."""
    return ["--source", str(picture), "--weights", str(tiny_weights), "--out", session]


def server_pids(log: Path) -> list[int]:
    """The servers that were started so far."""
    return [int(pid) for pid in re.findall(r"started the server, process (\d+)", log.read_text())]


def test_a_service_from_its_installation_to_its_end(
    system: System, options: list[str], session: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (system.show / "show.toml").write_text("[[prompt]]\ntext = 'cat'\n", encoding="utf-8")
    assert main(["service", "install", "--config", "show.toml", "--", *options]) == 0
    said = capsys.readouterr().out
    assert f"{system.manager.file(NAME)}: started now and at every login" in said
    assert f"{session}: " in said
    assert system.manager.file(NAME).is_file()
    first = answer_of(session)
    assert first is not None
    assert [prompt["text"] for prompt in first["status"]["prompts"]] == ["cat"]

    assert main(["service", "status"]) == 0
    assert f"{NAME}: runs" in capsys.readouterr().out
    assert main(["service", "start"]) == 0
    assert capsys.readouterr().out == "it runs\n"
    assert main(["service", "logs", "-n", "200"]) == 0
    assert "started the server, process" in capsys.readouterr().out

    # Over what is there, while it runs.
    assert main(["service", "install", "--", *options, "--prompt", "dog"]) == 0
    again = answer_of(session)
    assert again is not None
    assert [prompt["text"] for prompt in again["status"]["prompts"]] == ["dog"]

    # The next command need not wait: a service that was stopped has ended.
    assert main(["service", "stop"]) == 0
    assert main(["service", "status"]) == 1
    assert f"{NAME}: does not run" in capsys.readouterr().out
    assert main(["service", "start"]) == 0
    assert f"{session}: " in capsys.readouterr().out

    assert main(["service", "uninstall"]) == 0
    assert "the log stays" in capsys.readouterr().out
    wait_for(lambda: not system.service().is_kept())
    wait_for(lambda: answer_of(session, "hello") is None)
    assert not system.manager.file(NAME).exists()
    for action in ("start", "stop", "status"):
        assert main(["service", action]) == 2
        assert "expected an installed service" in capsys.readouterr().err
    assert main(["service", "logs"]) == 0
    assert main(["service", "uninstall"]) == 0
    assert "no record" in capsys.readouterr().out


def test_killed_servers_and_supervisors_come_back(
    systemd: System, options: list[str], session: str
) -> None:
    assert main(["service", "install", "--", *options]) == 0
    log = Job.installed(NAME).log
    (server,) = server_pids(log)
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: len(server_pids(log)) == 2)
    wait_for(lambda: (answer_of(session) or {}).get("ok"))
    assert "the server ended with signal 9" in log.read_text()

    supervisor = systemd.service().pid()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: len(server_pids(log)) == 3)
    wait_for(lambda: service_command.is_running(Job.installed(NAME)))
    wait_for(lambda: (answer_of(session) or {}).get("ok"))
    assert systemd.codes() == [-signal.SIGKILL]
    assert "not started again" not in log.read_text()
    assert main(["service", "stop"]) == 0
    assert systemd.codes() == [-signal.SIGKILL, 0]


def test_a_stop_from_elsewhere_ends_the_service_too(
    systemd: System, options: list[str], session: str
) -> None:
    assert main(["service", "install", "--", *options]) == 0
    assert main(["stop", "--link", session]) == 0
    wait_for(lambda: systemd.codes() == [0])
    assert main(["service", "status"]) == 1


def test_what_the_server_cannot_use_is_told_and_not_tried_again(
    systemd: System, options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """An address that is not this machine's is seen by the server alone."""
    assert main(["service", "install", "--", *options, "--metrics", "192.0.2.1:9570"]) == 1
    said = capfd.readouterr().out
    assert "192.0.2.1" in said
    assert "not started again" in said
    ended = [0 if sys.platform == "darwin" else 2]
    assert systemd.codes() == ended
    # What a check sees does not get as far as that.
    (systemd.show / "show.toml").write_text("nonsense", encoding="utf-8")
    assert main(["service", "install", "--config", "show.toml"]) == 2
    assert "expected TOML" in capfd.readouterr().err
    assert main(["service", "install", "--", "--bogus"]) == 2
    assert "expected options of `promptmatte serve`; got --bogus" in capfd.readouterr().err
    assert systemd.codes() == ended


def test_a_port_of_another_program_is_named_before_anything_is_written(
    systemd: System, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        assert main(["service", "install", "--", *options, "--metrics", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"expected TCP port {port} of 127.0.0.1 to be free for --metrics" in said
    if sys.platform == "linux":
        assert f"(process {os.getpid()})" in said
    assert not systemd.manager.file(NAME).exists()
    with pytest.raises(OSError, match="expected an installed service"):
        Job.installed(NAME)


def test_a_server_that_is_in_the_way_makes_room(
    systemd: System, options: list[str], session: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with Server(*options, "--prompt", "tree", log=tmp_path / "log") as server:
        status_of(session, server)
        assert main(["service", "install", "--", *options, "--prompt", "sky"]) == 0
        assert f"stopped the server that was at {session}" in capsys.readouterr().out
        assert server.process.wait(DEADLINE_S) == 0
    state = answer_of(session)
    assert state is not None
    assert [prompt["text"] for prompt in state["status"]["prompts"]] == ["sky"]


def test_several_services_have_names(
    systemd: System, options: list[str], session: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"{session}b"
    assert main(["service", "install", "--name", "one", "--", *options]) == 0
    second = [*options[:-1], other]
    assert main(["service", "install", "--name", "two", "--", *second]) == 0
    assert main(["service", "stop", "--name", "one"]) == 0
    assert main(["service", "status", "--name", "one"]) == 1
    assert main(["service", "status", "--name", "two"]) == 0
    assert main(["service", "status"]) == 2
    assert answer_of(other, "hello") is not None


def run_by_hand(*options: object) -> subprocess.Popen[bytes]:
    """`promptmatte service run`, as what starts programs elsewhere would."""
    return subprocess.Popen(
        [sys.executable, "-m", "promptmatte", "service", "run", "--", *map(str, options)],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_service_runs_once_and_by_hand_too(
    systemd: System, options: list[str], session: str
) -> None:
    with run_by_hand(*options) as first:
        try:
            wait_for(lambda: (answer_of(session) or {}).get("ok"))
            with run_by_hand(*options) as second:
                _, said = second.communicate(timeout=DEADLINE_S)
            assert second.returncode == 2
            assert b"there is one: stop it first" in said
        finally:
            first.terminate()
        first.communicate(timeout=DEADLINE_S)
    assert first.returncode == 0


def test_for_launchd_what_cannot_be_used_is_a_good_end(systemd: System) -> None:
    """It starts anew whatever ended with another code, a killed supervisor among it."""
    program = (
        "import sys; from promptmatte.cli import main; sys.platform = sys.argv.pop(1); "
        "sys.exit(main(['service', 'run', '--', '--bogus']))"
    )
    codes = {
        platform: subprocess.run(
            [sys.executable, "-c", program, platform], check=False, timeout=DEADLINE_S
        ).returncode
        for platform in ("linux", "darwin")
    }
    assert codes == {"linux": 2, "darwin": 0}


def test_logs_are_followed_until_told_to_stop(systemd: System) -> None:
    log = LogFile(service_command.log_path(NAME))
    log.write("first")
    command = [sys.executable, "-m", "promptmatte", "service", "logs", "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline().endswith("first\n")
        log.write("second")
        assert follower.stdout.readline().endswith("second\n")
        follower.send_signal(signal.SIGINT)
        assert follower.wait(DEADLINE_S) == 130
    log.close()


def test_a_log_can_be_shown_where_letters_are_missing(
    systemd: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogFile(service_command.log_path(NAME))
    log.write("keys 红色的汽车")
    log.close()
    output = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", write_through=True)
    with monkeypatch.context() as changed:
        changed.setattr(sys, "stdout", output)
        assert main(["service", "logs"]) == 0
    written: Any = output.buffer
    assert b"keys \\u7ea2\\u8272" in written.getvalue()


def test_without_an_error_output_an_error_is_still_its_code(
    systemd: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pythonw.exe has neither."""
    with monkeypatch.context() as changed, contextlib.redirect_stdout(io.StringIO()):
        changed.setattr(sys, "stderr", None)
        assert main(["service", "start"]) == 2
