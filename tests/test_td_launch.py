"""The command line of Start, from what people type into Program."""

from __future__ import annotations

from pathlib import Path

import pytest
from promptmatte_td.launch import Launch, LaunchError, clean_environment, program_command
from promptmatte_td.links import LinkChoice


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_the_components_own_picture_goes_and_mattes_come_by_one_link(tmp_path: Path) -> None:
    python = touched(tmp_path / "python3.11")
    launch = Launch(program=str(python), link=LinkChoice(session="stage"), model="sam-vit-b",
                    options="--device cuda:1")  # fmt: skip
    assert launch.command() == [
        str(python), "-m", "promptmatte", "serve", "--source", "shm:stage", "--out", "shm:stage",
        "--model", "sam-vit-b", "--until-input-ends", "--device", "cuda:1",
    ]  # fmt: skip


def test_the_servers_own_source_and_zeromq(tmp_path: Path) -> None:
    program = touched(tmp_path / "promptmatte.exe")
    launch = Launch(program=f'"{program}"', link=LinkChoice(kind="zmq", port=6001),
                    source="camera:1")  # fmt: skip
    assert launch.command() == [
        str(program), "serve", "--source", "camera:1", "--out", "zmq:tcp://127.0.0.1:6001",
        "--until-input-ends",
    ]  # fmt: skip


@pytest.mark.parametrize("inside", [".venv/bin/python", ".venv/Scripts/python.exe", "bin/python",
                                    "Scripts/python.exe"])  # fmt: skip
def test_a_checkout_or_an_environment_is_searched_for_its_python(
    tmp_path: Path, inside: str
) -> None:
    python = touched(tmp_path / inside)
    assert program_command(str(tmp_path)) == [str(python), "-m", "promptmatte"]


def test_a_checkout_without_environment_is_set_up_by_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    tools = touched(tmp_path / "tools" / "uv")
    monkeypatch.setenv("PATH", str(tools.parent))
    assert program_command(str(tmp_path)) == [
        str(tools), "run", "--project", str(tmp_path), "promptmatte",
    ]  # fmt: skip
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "nobody"))
    with pytest.raises(LaunchError, match="uv sync"):
        program_command(str(tmp_path))


def test_nothing_given_means_promptmatte_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = touched(tmp_path / "promptmatte")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program_command("  ") == [str(program)]
    program.unlink()
    with pytest.raises(LaunchError, match="on the path"):
        program_command("")


@pytest.mark.parametrize(
    ("program", "message"),
    [("/nowhere/python", "found none"), ("notes.txt", "a Python or promptmatte"),
     ("uv", "give the folder"), ("empty", "found neither")],
)  # fmt: skip
def test_what_cannot_run_says_what_to_give(tmp_path: Path, program: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("notes.txt", "uv"):
        touched(tmp_path / name)
    given = program if program.startswith("/") else str(tmp_path / program)
    with pytest.raises(LaunchError, match=message) as refusal:
        program_command(given)
    assert "\n" not in str(refusal.value)


def test_options_that_are_no_command_line_are_refused(tmp_path: Path) -> None:
    python = touched(tmp_path / "python")
    with pytest.raises(LaunchError, match="options"):
        Launch(program=str(python), link=LinkChoice(), options="--report 'half").command()


def test_the_servers_python_does_not_see_touchdesigners() -> None:
    clean = clean_environment({"PYTHONPATH": "a", "PythonHome": "b", "PATH": "c"})
    assert clean == {"PATH": "c", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
