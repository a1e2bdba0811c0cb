"""The show file followed while the server runs: what changes, what stays, what is told."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from links_testing import wait_for
from moving_scene import ColourModel
from promptmatte.clock import RealClock
from promptmatte.commands.config import serve_parser
from promptmatte.commands.serve_show import Show
from promptmatte.commands.show_changes import control_commands, merged_prompts
from promptmatte.commands.show_watch import ShowWatch
from promptmatte.config import PipelineConfig
from promptmatte.control.commands import command_handler
from promptmatte.controls import Controls
from promptmatte.errors import SourceError
from promptmatte.pipeline import Pipeline
from promptmatte.prompts import Prompt
from promptmatte.sources.protocol import Source
from server_testing import Server, promptmatte, status_of
from server_testing import wait_for as wait_long_for

SHOW = """\
source = "test:"
[controls]
threshold = 0.4
[[prompt]]
text = "person"
expand = 2
[[prompt]]
text = "sky"
"""


class Running:
    """A server's pipeline, not started, and the watch of its show."""

    def __init__(self, path: Path, *options: str) -> None:
        self.told: list[str] = []
        arguments = serve_parser().parse_args(["--config", str(path), *options])
        show = Show.read(arguments)
        pipeline = Pipeline(
            open_source=_no_source, model=ColourModel(), links=[], config=PipelineConfig(),
            clock=RealClock(),
        )  # fmt: skip
        self.handler = command_handler(pipeline, threading.Event())
        self.watch: ShowWatch = show.watch(
            arguments, handlers={"main": self.handler}, tell=self.told.append
        )
        self.watch._poll_s = 0.02
        self.path = path
        first = promptmatte_show(arguments, show)
        pipeline.set_prompts(first.prompts)
        pipeline.set_controls(first.controls)
        self.pipeline = pipeline

    def texts(self) -> list[str]:
        return [entry["text"] for entry in self.status()["prompts"]]

    def status(self) -> dict[str, Any]:
        return self.watch.wrapped(self.handler)({"command": "status"})["status"]

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")


def promptmatte_show(arguments: Any, show: Show) -> Any:
    from promptmatte.commands.serve_show import wanted

    return wanted(arguments, show.file)


def _no_source() -> Source:
    raise SourceError("no source is opened here")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    path = tmp_path / "show.toml"
    path.write_text(SHOW, encoding="utf-8")
    show = Running(path)
    show.watch.start()
    yield show
    show.watch.close()


def test_prompts_and_controls_change_with_the_file(running: Running) -> None:
    running.write(SHOW.replace('"sky"', '"car"').replace("0.4", "0.6") + "feather = 5\n")
    wait_for(lambda: running.texts() == ["person", "car"])
    wait_for(lambda: running.told)
    channels = running.pipeline.controls.channels
    assert {channel.threshold for channel in channels} == {0.6}
    assert [channel.feather for channel in channels] == [0.0, 5.0, 0.0, 0.0]
    assert [channel.expand for channel in channels] == [2.0, 0.0, 0.0, 0.0]
    config = running.status()["config"]
    assert config["file"] == str(running.path)
    assert config["reloads"] == 1
    assert config["at_next_start"] == []
    assert config["result"].startswith("read again:")
    assert running.told == [f"show.toml {config['result']}"]


def test_what_was_set_elsewhere_stays_where_the_file_did_not_change(running: Running) -> None:
    running.handler({"command": "set", "controls": {"threshold": 0.7, "hold": 2}})
    running.handler({"command": "prompt", "prompts": [{"text": "dog"}, {"text": "sky"}]})
    running.write(SHOW.replace('"sky"', '"car"').replace("expand = 2", "expand = 3"))
    wait_for(lambda: running.texts() == ["dog", "car"])
    wait_for(lambda: running.told)
    channels = running.pipeline.controls.channels
    assert {channel.threshold for channel in channels} == {0.7}
    assert {channel.hold for channel in channels} == {2.0}
    assert [channel.expand for channel in channels] == [3.0, 0.0, 0.0, 0.0]


def test_a_broken_file_changes_nothing_and_is_told_once(running: Running) -> None:
    running.write(SHOW + "[controls")
    wait_for(lambda: running.told)
    for text in (SHOW + "[controls", SHOW + "[controls"):
        seen = running.watch._seen
        running.write(text)
        os.utime(running.path, ns=(1, (seen or (0,))[0] + 10**9))
        wait_for(lambda seen=seen: running.watch._seen != seen and running.watch._read)
    assert len(running.told) == 1
    assert "expected TOML" in running.told[0]
    assert "the show stays as it is" in running.told[0]
    assert running.texts() == ["person", "sky"]
    assert "expected TOML" in running.status()["config"]["result"]
    running.write(SHOW.replace("0.4", "4"))
    wait_for(lambda: len(running.told) == 2)
    assert "expected threshold" in running.told[1]
    running.write(SHOW)
    wait_for(lambda: len(running.told) == 3)
    assert "nothing changed" in running.told[2]
    assert running.status()["config"]["reloads"] == 0


def test_settings_that_wait_for_the_next_start_are_named_until_they_are_as_before(
    running: Running,
) -> None:
    running.write('model = "sam-vit-b"\n' + SHOW.replace('"test:"', '"camera:1"'))
    wait_for(lambda: running.told)
    assert "at the next start: model, source" in running.told[0]
    assert running.status()["config"]["at_next_start"] == ["model", "source"]
    running.write(SHOW)
    wait_for(lambda: len(running.told) == 2)
    assert "at the next start: nothing more" in running.told[1]


@pytest.mark.parametrize("how", ["replaced", "gone for a moment", "empty for a moment"])
def test_editors_write_in_many_ways(how: str, running: Running, tmp_path: Path) -> None:
    changed = SHOW.replace('"sky"', '"car"')
    if how == "replaced":
        other = tmp_path / ".show.toml.swp"
        other.write_text(changed, encoding="utf-8")
        other.replace(running.path)
    elif how == "gone for a moment":
        shutil.move(running.path, tmp_path / "show.toml~")
        wait_for(lambda: running.watch._seen is None)
        running.write(changed)
    else:
        running.write("")
        wait_for(lambda: running.told)
        assert "empty file" in running.told[0]
        assert running.texts() == ["person", "sky"]
        running.write(changed)
    wait_for(lambda: running.texts() == ["person", "car"])


def test_a_file_that_another_program_has_for_itself_is_read_later(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows: an editor, or what looks for viruses, right after the file was saved."""
    own = Path.open

    def refused(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if path == running.path and "r" in mode:
            raise PermissionError(13, "Permission denied")
        return own(path, mode, *arguments, **options)

    with monkeypatch.context() as changed:
        changed.setattr(Path, "open", refused)
        running.write(SHOW.replace('"sky"', '"car"'))
        wait_for(lambda: running.told)
        assert "cannot read the show" in running.told[0]
        assert running.texts() == ["person", "sky"]
    wait_for(lambda: running.texts() == ["person", "car"])
    assert sum("cannot read" in line for line in running.told) == 1


def test_a_file_that_stays_away_is_told_once_and_may_come_back(running: Running) -> None:
    running.path.unlink()
    wait_for(lambda: running.told)
    missed = running.watch._missed
    wait_for(lambda: running.watch._missed > missed + 5)
    assert len(running.told) == 1
    assert "is gone" in running.told[0]
    assert running.texts() == ["person", "sky"]
    running.write(SHOW.replace('"sky"', '"car"'))
    wait_for(lambda: running.texts() == ["person", "car"])


def test_prompts_of_the_command_line_are_not_the_files_to_change(tmp_path: Path) -> None:
    path = tmp_path / "show.toml"
    path.write_text(SHOW, encoding="utf-8")
    running = Running(path, "--source", "camera:1", "--prompt", "horse")
    running.watch.start()
    try:
        running.write(SHOW.replace("person", "dog").replace("test:", "camera:2").replace("4", "6"))
        wait_for(lambda: running.told)
        assert running.texts() == ["horse"]
        assert {c.threshold for c in running.pipeline.controls.channels} == {0.6}
        assert running.status()["config"]["at_next_start"] == []
    finally:
        running.watch.close()


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt(text=text) for text in texts]


@pytest.mark.parametrize(
    ("before", "after", "live", "result"),
    [
        ("ab", "ac", "xb", "xc"),
        ("ab", "ab", "xy", "xy"),
        ("a", "ab", "x", "xb"),
        ("ab", "a", "xb", "x"),
        ("ab", "abd", "x", "xbd"),  # b was taken away elsewhere, but d needs its place
        ("ab", "a", "abx", "ax"),
        ("ab", "", "ab", ""),
        ("", "ab", "", "ab"),
        ("a", "b", "", "b"),
    ],
)
def test_prompts_are_merged_place_by_place(before: str, after: str, live: str, result: str) -> None:
    merged = merged_prompts(prompts(*before), prompts(*after), prompts(*live))
    assert merged == prompts(*result)


def test_controls_that_differ_are_set_and_no_others() -> None:
    before = Controls().replaced({"hold": 1.0})
    after = before.replaced({"fill": "picture"}).replaced({"invert": True}, channel=2)
    assert control_commands(before, after) == [
        {"command": "set", "controls": {"fill": "picture"}, "prompt": None},
        {"command": "set", "controls": {"invert": True}, "prompt": 3},
    ]
    assert control_commands(after, after) == []


def test_a_running_server_follows_its_file(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "show.toml"
    path.write_text(SHOW, encoding="utf-8")
    with Server(
        "--config", path, "--source", picture, "--weights", tiny_weights, "--out", session,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_long_for(lambda: status_of(session, server)["mattes_out"])
        assert status_of(session, server)["config"]["result"] == "as at the start"
        path.write_text(SHOW.replace('"sky"', '"cat"'), encoding="utf-8")
        wait_long_for(
            lambda: [p["text"] for p in status_of(session, server)["prompts"]] == ["person", "cat"]
        )
        path.write_text("nonsense", encoding="utf-8")
        wait_long_for(lambda: "expected TOML" in status_of(session, server)["config"]["result"])
        assert status_of(session, server)["prompts"][1]["text"] == "cat"
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(60) == 0
    assert "show.toml read again" in " ".join(server.said().split())
