import json
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from promptmatte import COMMANDS_VERSION, __version__
from promptmatte.control.commands import command_handler
from promptmatte.controls import Controls, control_table
from promptmatte.errors import CommandError, ControlError, PromptError
from promptmatte.prompts import Prompt, PromptSet


class Prompts:
    """Holds prompts, controls, a choice of model and words, and nothing else."""

    def __init__(self) -> None:
        self.model: dict[str, Any] | None = None
        self.words: Sequence[str] | None = None
        self.recording: bool | None = None
        self.current = PromptSet()
        self.controls = Controls()

    def set_controls(self, controls: Controls) -> None:
        self.controls = controls

    def set_prompts(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        self.current = self.current.replaced(prompts)
        return self.current

    def notes(self) -> list[str]:
        return [f"{len(self.current.prompts)} prompts"]

    def choose_model(self, **changes: Any) -> None:
        self.model = changes

    def suggest(self, words: Sequence[str]) -> None:
        self.words = words

    def suggestions(self, limit: int) -> dict[str, Any]:
        return {"done": True, "error": None, "suggestions": [], "limit": limit}

    def record(self, on: bool) -> dict[str, Any]:
        self.recording = on
        return {"state": "recording" if on else "off"}

    def status(self) -> dict[str, Any]:
        return {"state": "running", "prompts_version": self.current.version}


def test_prompts_are_set_and_cleared() -> None:
    pipeline = Prompts()
    handle = command_handler(pipeline, threading.Event())
    command = {
        "command": "prompt",
        "prompts": [{"text": "person"}, {"text": "red  car", "negative": ["truck"]}],
    }
    assert handle(command) == {"ok": True, "prompts_version": 1, "notes": ["2 prompts"]}
    assert pipeline.current.prompts == (
        Prompt(text="person"),
        Prompt(text="red car", negative=("truck",)),
    )
    assert handle({"command": "prompt", "prompts": []})["prompts_version"] == 2
    assert pipeline.current.prompts == ()


def test_the_reply_to_a_prompt_is_about_that_prompt() -> None:
    pipeline = Prompts()
    handle = command_handler(pipeline, threading.Event())
    for count in (3, 1):
        reply = handle({"command": "prompt", "prompts": [{"text": "person"}] * count})
        assert reply["notes"] == [f"{count} prompts"]
        json.dumps(reply)


def test_a_prompt_says_union_and_difference_in_its_text_or_in_fields() -> None:
    pipeline = Prompts()
    handle = command_handler(pipeline, threading.Event())
    prompts = [{"text": "person + dog but not hair"}, {"text": "person", "also": ["dog"]}]
    handle({"command": "prompt", "prompts": prompts})
    assert pipeline.current.prompts == (
        Prompt(text="person", also=("dog",), negative=("hair",)),
        Prompt(text="person", also=("dog",)),
    )


def test_controls_are_set_for_one_prompt_or_all_and_told() -> None:
    pipeline = Prompts()
    handle = command_handler(pipeline, threading.Event())
    values = {"threshold": 0.4, "overlap": "exclusive"}
    assert handle({"command": "set", "controls": values}) == {"ok": True}
    assert handle({"command": "set", "controls": {"expand": -2}, "prompt": 2}) == {"ok": True}
    assert handle({"command": "set", "controls": {}, "prompt": None}) == {"ok": True}
    reply = json.loads(json.dumps(handle({"command": "controls"})))
    assert reply["ok"]
    assert reply["controls"] == control_table()
    assert [channel["threshold"] for channel in reply["values"]["channels"]] == [0.4] * 4
    assert [channel["expand"] for channel in reply["values"]["channels"]] == [0, -2, 0, 0]
    assert reply["values"]["stream"]["overlap"] == "exclusive"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"controls": {"invert": True, "threshold": 2}}, "expected threshold as a number"),
        ({"controls": {"invert": True, "treshold": 0.4}}, "expected a control of threshold"),
        ({"controls": {"invert": True, "overlap": "exclusive"}, "prompt": 1}, "without a prompt"),
        ({"controls": {"invert": True}, "prompt": 0}, "prompt as a number of 1 to 4; got 0"),
        ({"controls": {"invert": True}, "prompt": True}, "1 to 4; got True"),
        ({"controls": {"invert": True}, "prompt": "2"}, "1 to 4; got '2'"),
        ({"controls": ["invert"]}, "controls as an object such as"),
        ({}, "got no field 'controls'"),
    ],
)
def test_a_control_that_cannot_be_set_changes_nothing(fields: Any, message: str) -> None:
    pipeline = Prompts()
    with pytest.raises((CommandError, ControlError)) as refusal:
        command_handler(pipeline, threading.Event())({"command": "set", **fields})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert pipeline.controls == Controls()


def test_controls_set_from_several_threads_all_count() -> None:
    pipeline = Prompts()
    handle = command_handler(pipeline, threading.Event())

    def turn(channel: int, values: list[float]) -> None:
        for value in values:
            handle({"command": "set", "controls": {"expand": value}, "prompt": channel + 1})

    values = [index / 10 for index in range(200)]
    threads = [threading.Thread(target=turn, args=(channel, values)) for channel in range(4)]
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert [channel.expand for channel in pipeline.controls.channels] == [19.9] * 4


def test_a_model_is_chosen_by_name_and_suggestions_are_asked_for() -> None:
    pipeline = Prompts()
    handle = command_handler(pipeline, threading.Event())
    assert handle({"command": "model", "name": "sam-vit-b", "clip": "ViT-L-14"}) == {"ok": True}
    assert pipeline.model == {"name": "sam-vit-b", "clip": "ViT-L-14"}
    assert handle({"command": "suggest", "words": ["hat"]}) == {"ok": True}
    assert pipeline.words == ["hat"]
    assert handle({"command": "suggest"}) == {"ok": True}
    assert pipeline.words == []
    assert handle({"command": "suggestions", "limit": 3})["limit"] == 3
    assert handle({"command": "suggestions"})["limit"] == 10


@pytest.mark.parametrize(
    "clip", ["local-dir:/etc", "../weights", "/etc/x.pt", "C:\\x", "", "a" * 99, 5, None]
)
def test_no_message_names_a_file(clip: Any) -> None:
    pipeline = Prompts()
    with pytest.raises(CommandError, match="expected clip as one of the names"):
        command_handler(pipeline, threading.Event())(
            {"command": "model", "name": "sam-vit-b", "clip": clip}
        )
    assert pipeline.model is None


def test_a_recording_is_switched_and_nothing_else() -> None:
    """No message says where to."""
    pipeline = Prompts()
    handle = command_handler(pipeline, threading.Event())
    assert handle({"command": "record", "on": True})["recording"] == {"state": "recording"}
    assert pipeline.recording is True
    assert handle({"command": "record", "on": False})["recording"] == {"state": "off"}
    assert pipeline.recording is False
    for field in ("file", "folder", "path", "to"):
        with pytest.raises(CommandError, match=f"got the field '{field}'"):
            handle({"command": "record", "on": True, field: "/etc/passwd"})
    assert pipeline.recording is False


def test_status_ping_and_stop() -> None:
    stop = threading.Event()
    handle = command_handler(Prompts(), stop)
    status = {"state": "running", "prompts_version": 0}
    hello = handle({"command": "hello"})
    assert handle({"command": "status"}) == {"ok": True, "run": hello["run"], "status": status}
    assert handle({"command": "ping"}) == {"ok": True}
    assert not stop.is_set()
    assert handle({"command": "stop"}) == {"ok": True}
    assert stop.is_set()


def test_hello_says_what_the_server_is_and_which_run() -> None:
    hello = command_handler(Prompts(), threading.Event())({"command": "hello"})
    other = command_handler(Prompts(), threading.Event())({"command": "hello"})
    assert hello["version"] == __version__
    assert hello["commands_version"] == COMMANDS_VERSION
    assert "embedded" in hello["models"]
    assert hello["run"] != other["run"]
    assert json.loads(json.dumps(hello)) == hello


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ({}, "expected a command of prompt, set, controls, model, suggest, suggestions, record, "),
        ({"command": "fly"}, "got 'fly'"),
        ({"command": ["ping"]}, "got ['ping']"),
        ({"command": "x" * 5000}, "..."),
        ({"command": "ping", "loud": 1}, "with the fields command; got the field 'loud'"),
        ({"command": "prompt"}, "command, prompts; got no field 'prompts'"),
        ({"command": "prompt", "prompts": "person"}, "prompts as a list"),
        ({"command": "prompt", "prompts": ["person"]}, "a prompt such as"),
        (
            {"command": "prompt", "prompts": [{"txt": "a"}]},
            "text, also, negative; got the field 'txt'",
        ),
        ({"command": "prompt", "prompts": [{}]}, "got no field 'text'"),
        ({"command": "prompt", "prompts": [{"text": 5}]}, "text as a string; got 5"),
        (
            {"command": "prompt", "prompts": [{"text": "a", "negative": "b"}]},
            "negative as a list of strings; got 'b'",
        ),
        (
            {"command": "prompt", "prompts": [{"text": "a", "also": [1]}]},
            "also as a list of strings; got [1]",
        ),
        ({"command": "model"}, "got no field 'name'"),
        ({"command": "model", "name": "a", "weights": "x.pt"}, "got the field 'weights'"),
        ({"command": "suggest", "words": "hat"}, "words as a list of strings; got 'hat'"),
        ({"command": "suggestions", "limit": 0}, "limit as a number of 1 to 400; got 0"),
        ({"command": "suggestions", "limit": True}, "got True"),
        ({"command": "record"}, "command, on; got no field 'on'"),
        ({"command": "record", "on": "a.mov"}, "on as true or false; got 'a.mov'"),
        ({"command": "record", "on": 1}, "got 1"),
    ],
)
def test_a_malformed_command_is_refused_in_one_line(command: Any, message: str) -> None:
    pipeline = Prompts()
    with pytest.raises(CommandError) as refusal:
        command_handler(pipeline, threading.Event())(command)
    text = str(refusal.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 300
    assert pipeline.current.version == 0


@pytest.mark.parametrize(
    "prompts",
    [
        [{"text": "  "}],
        [{"text": "x" * 500}],
        [{"text": "a"}] * 5,
        [{"text": "a", "negative": ["b"] * 9}],
        [{"text": "a", "negative": [""]}],
        [{"text": "a -"}],
    ],
)
def test_a_prompt_that_cannot_be_used_changes_nothing(prompts: Any) -> None:
    pipeline = Prompts()
    with pytest.raises(PromptError):
        command_handler(pipeline, threading.Event())({"command": "prompt", "prompts": prompts})
    assert pipeline.current.version == 0
