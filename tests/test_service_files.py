"""The files of services, read back by the libraries of their formats, and the tools' arguments."""

from __future__ import annotations

import configparser
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from promptmatte.errors import ConfigError, ServiceError
from promptmatte.service.job import Job
from promptmatte.service.launchd import Launchd, agent_text
from promptmatte.service.systemd import Systemd, unit_text
from promptmatte.service.windows_task import NAMESPACE, WindowsTask, task_text
from service_tools import Tools

ODD = (
    "plain", "two words", 'a "quote"', "it's", "100% %h %PATHX%", "$HOME ${HOME}", "back\\slash",
    "end\\", "ünïcödé 红", "a=b;c", "", "<&>", "  edges  ", "--prompt=red car", "#no comment",
)  # fmt: skip


def job(folder: Path, *options: str, **changes: object) -> Job:
    values: dict[str, object] = {
        "options": options, "folder": folder, "log": folder / "the log.log",
        "python": Path(sys.executable),
        "environment": {"PROMPTMATTE_CACHE": 'models "of" 50% $x é'},
        **changes,
    }  # fmt: skip
    return Job(**values)  # type: ignore[arg-type]


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my show's 50% é"
    folder.mkdir()
    return folder


def unit_of(text: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=True
    )
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    return unit


def unquoted(text: str) -> list[str]:
    """Words as systemd reads them: quoting like a shell's here, then specifiers."""
    return [word.replace("%%", "%") for word in shlex.split(text)]


def test_a_unit_says_the_command_the_folder_and_when_to_restart(odd_folder: Path) -> None:
    made = job(odd_folder, *ODD)
    unit = unit_of(unit_text(made))
    service = unit["Service"]
    assert service["ExecStart"].startswith(":")
    assert unquoted(service["ExecStart"][1:]) == list(made.command)
    # No specifier but %% is left.
    assert "%" not in service["ExecStart"].replace("%%", "")
    assert service["WorkingDirectory"].replace("%%", "%") == str(odd_folder)
    assert unquoted(service["Environment"]) == ['PROMPTMATTE_CACHE=models "of" 50% $x é']
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert float(service["RestartSec"]) > 0
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Install"]["WantedBy"] == "default.target"


def test_an_agent_says_the_same(odd_folder: Path) -> None:
    made = job(odd_folder, *ODD)
    agent = plistlib.loads(agent_text(made).encode())
    assert agent["ProgramArguments"] == list(made.command)
    assert agent["WorkingDirectory"] == str(odd_folder)
    assert agent["EnvironmentVariables"] == made.environment
    assert agent["RunAtLoad"] is True
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["Label"] == "promptmatte"


def test_a_task_says_the_same(odd_folder: Path) -> None:
    made = job(odd_folder, *ODD)
    # As it is written and read: UTF-16 with a byte order mark.
    data = task_text(made, user="STUDIO\\Zoë & co").encode("utf-16")
    task = ET.fromstring(data.decode("utf-16"))
    assert task.tag == f"{{{NAMESPACE}}}Task"

    def text(path: str) -> str:
        found = task.find("/".join(f"{{{NAMESPACE}}}{tag}" for tag in path.split("/")))
        assert found is not None, path
        return found.text or ""

    assert text("Actions/Exec/Command") == str(made.python)
    assert windows_words(text("Actions/Exec/Arguments")) == list(made.command[1:])
    assert text("Actions/Exec/WorkingDirectory") == str(odd_folder)
    assert text("Triggers/LogonTrigger/UserId") == "STUDIO\\Zoë & co"
    assert text("Principals/Principal/UserId") == "STUDIO\\Zoë & co"
    assert text("Principals/Principal/RunLevel") == "LeastPrivilege"
    assert text("Settings/ExecutionTimeLimit") == "PT0S"
    assert text("Settings/MultipleInstancesPolicy") == "IgnoreNew"
    assert text("Settings/StopIfGoingOnBatteries") == "false"
    assert text("Settings/RestartOnFailure/Interval") == "PT1M"
    assert int(text("Settings/Priority")) < 7
    # The schema has an order.
    assert [child.tag.rpartition("}")[2] for child in task] == [
        "RegistrationInfo", "Triggers", "Principals", "Settings", "Actions",
    ]  # fmt: skip


def windows_words(line: str) -> list[str]:
    """The arguments that a program sees of a command line on Windows (the C runtime's rules)."""
    words: list[str] = []
    word: str | None = None
    quoted = False
    backslashes = 0
    for sign in [*line, " "]:
        if sign == "\\":
            backslashes += 1
            word = word or ""
            continue
        if sign == '"':
            word = (word or "") + "\\" * (backslashes // 2)
            if backslashes % 2:
                word += '"'
            else:
                quoted = not quoted
        else:
            if backslashes:
                word = (word or "") + "\\" * backslashes
            if sign in " \t" and not quoted:
                if word is not None:
                    words.append(word)
                word = None
            else:
                word = (word or "") + sign
        backslashes = 0
    return words


def test_a_task_refuses_what_the_scheduler_would_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOWS", "elsewhere")
    with pytest.raises(ConfigError, match="%SHOWS%"):
        task_text(job(tmp_path, "--config", "%SHOWS%/a.toml"), user="me")


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "tab\there", "\udcff"])
def test_control_characters_are_in_no_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="control characters"):
        job(tmp_path, text)


@pytest.mark.parametrize(
    "source", ["rtsp://user:secret@camera/live", "https://host/live.m3u8?token=secret"]
)
def test_a_password_is_in_no_file(source: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="put it into a show file") as caught:
        job(tmp_path, "--source", source)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "é", "x" * 41, "../a"])
def test_names_that_are_no_file_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a service name"):
        job(tmp_path, name=name)


def test_a_job_is_recorded_and_found_again(
    odd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTMATTE_STATE", str(odd_folder / "state"))
    made = job(odd_folder, *ODD)
    with pytest.raises(ServiceError, match="there is none"):
        Job.installed("promptmatte")
    made.record()
    assert Job.installed("promptmatte") == made
    (odd_folder / "state" / "promptmatte.json").write_text("{", encoding="utf-8")
    with pytest.raises(ServiceError, match="install` again"):
        Job.installed("promptmatte")
    made.forget()
    with pytest.raises(ServiceError, match="there is none"):
        Job.installed("promptmatte")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, which is not here"
)
@pytest.mark.parametrize("name", ["python", "py th $on 50% é", 'py "th" on\\'])
def test_systemd_itself_can_read_the_unit(name: str, odd_folder: Path, tmp_path: Path) -> None:
    """verify looks for the program too, so that odd signs in its name are seen to arrive."""

    def complaints(text: str) -> str:
        unit = tmp_path / "promptmatte-test.service"
        unit.write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=no", str(unit)],
            capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        )  # fmt: skip
        return done.stderr if done.returncode else ""

    if complaints("[Service]\nExecStart=/bin/sh\n"):
        pytest.skip("systemd-analyze verify does not work here")
    python = tmp_path / name
    text = unit_text(job(odd_folder, *ODD, python=python))
    if '"' not in name:
        assert "not executable" in complaints(text)
    python.write_text("#!/bin/sh\n", encoding="utf-8")
    python.chmod(0o755)
    assert complaints(text) == ""
    assert complaints(text.replace("Type=exec", "Type=exec\nBogus=1"))


@pytest.mark.skipif(os.name == "nt", reason="systemd is not on Windows, nor is /usr/bin/env")
def test_a_program_that_systemd_refuses_is_started_by_env(tmp_path: Path) -> None:
    python = tmp_path / 'py "th" on'
    text = unit_text(job(tmp_path, "--source", "test:", python=python))
    words = unquoted(unit_of(text)["Service"]["ExecStart"][1:])
    assert words[:2] == ["/usr/bin/env", str(python)]


def test_systemctl_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Tools(tmp_path / "bin", monkeypatch, "systemctl")
    systemd = Systemd(tmp_path / "units")
    made = job(tmp_path, "--source", "test:")
    systemd.install(made)
    assert systemd.file("promptmatte") == tmp_path / "units" / "promptmatte.service"
    assert systemd.file("promptmatte").read_text(encoding="utf-8") == unit_text(made)
    tools.answer("show", "ActiveState=active\nSubState=running\nNRestarts=0")
    found = systemd.found("promptmatte")
    assert (found.installed, found.words) == (
        True, "ActiveState=active SubState=running NRestarts=0",
    )  # fmt: skip
    systemd.stop("promptmatte")
    systemd.start("promptmatte")
    systemd.uninstall("promptmatte")
    assert not systemd.file("promptmatte").exists()
    assert [call[:3] for call in tools.calls] == [
        ["systemctl", "--user", verb]
        for verb in (
            "daemon-reload", "enable", "restart", "show", "stop", "start", "disable",
            "daemon-reload", "reset-failed",
        )
    ]  # fmt: skip
    assert all(call[3] == "promptmatte.service" for call in tools.calls[1:3])
    tools.answer("start", "Failed to connect to bus", code=1)
    with pytest.raises(ServiceError, match="Failed to connect to bus: services need a login"):
        systemd.start("promptmatte")


def test_launchctl_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Tools(tmp_path / "bin", monkeypatch, "launchctl")
    launchd = Launchd(tmp_path / "agents", uid=501)
    tools.answer("bootout", "Boot-out failed: 3: No such process", code=3)
    launchd.install(job(tmp_path, "--source", "test:"))
    file = launchd.file("promptmatte")
    assert plistlib.loads(file.read_bytes())["Label"] == "promptmatte"
    tools.answer("print", "promptmatte = {\n\tstate = running\n\truns = 2\n\tpath = x\n}")
    assert launchd.found("promptmatte").words == "state = running, runs = 2"
    launchd.stop("promptmatte")
    launchd.start("promptmatte")
    tools.answer("print", "Could not find service", code=113)
    launchd.start("promptmatte")
    assert launchd.found("promptmatte").words == "not loaded"
    launchd.uninstall("promptmatte")
    assert not file.exists()
    target = "gui/501/promptmatte"
    assert [call[1:] for call in tools.calls] == [
        ["bootout", target], ["enable", target], ["bootstrap", "gui/501", str(file)],
        ["print", target], ["kill", "SIGTERM", target], ["print", target], ["kickstart", target],
        ["print", target], ["bootstrap", "gui/501", str(file)], ["print", target],
        ["bootout", target],
    ]  # fmt: skip


def test_schtasks_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Tools(tmp_path / "bin", monkeypatch, "schtasks")
    windows = WindowsTask(tmp_path / "tasks")
    windows.install(job(tmp_path, "--source", "test:"))
    file = windows.file("promptmatte")
    assert file.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
    ET.fromstring(file.read_text(encoding="utf-16"))
    tools.answer("/Query", "\nFolder: \\PromptMatte\nStatus:   Running\n")
    assert windows.found("promptmatte").words == "Folder: \\PromptMatte; Status: Running"
    windows.stop("promptmatte")
    windows.uninstall("promptmatte")
    task = ["/TN", "\\PromptMatte\\promptmatte"]
    assert [call[1:] for call in tools.calls] == [
        ["/End", *task], ["/Create", *task, "/XML", str(file), "/F"], ["/Run", *task],
        ["/Query", *task, "/FO", "LIST"], ["/End", *task], ["/End", *task],
        ["/Delete", *task, "/F"],
    ]  # fmt: skip
    tools.answer("/Query", "ERROR", code=1)
    assert not windows.found("promptmatte").installed


def test_a_system_without_the_tool_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match="expected systemctl on this system"):
        Systemd(tmp_path).start("promptmatte")
