import threading
from typing import Any

import pytest
from promptmatte.control.commands import command_handler
from promptmatte.errors import CommandError, PromptError
from promptmatte.prompts import Prompt, PromptSet


class Prompts:
    """Holds prompts and nothing else."""

    def __init__(self) -> None:
        self.current = PromptSet()

    def set_prompts(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        self.current = self.current.replaced(prompts)
        return self.current

    def status(self) -> dict[str, Any]:
        return {"state": "running", "prompts_version": self.current.version}


def test_prompts_are_set_and_cleared() -> None:
    pipeline = Prompts()
    handle = command_handler(pipeline, threading.Event())
    command = {
        "command": "prompt",
        "prompts": [{"text": "person"}, {"text": "red  car", "negative": ["truck"]}],
    }
    assert handle(command) == {"ok": True, "prompts_version": 1}
    assert pipeline.current.prompts == (
        Prompt(text="person"),
        Prompt(text="red car", negative=("truck",)),
    )
    assert handle({"command": "prompt", "prompts": []}) == {"ok": True, "prompts_version": 2}
    assert pipeline.current.prompts == ()


def test_status_ping_and_stop() -> None:
    stop = threading.Event()
    handle = command_handler(Prompts(), stop)
    status = {"state": "running", "prompts_version": 0}
    assert handle({"command": "status"}) == {"ok": True, "status": status}
    assert handle({"command": "ping"}) == {"ok": True}
    assert not stop.is_set()
    assert handle({"command": "stop"}) == {"ok": True}
    assert stop.is_set()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ({}, "expected a command of prompt, status, stop, ping; got None"),
        ({"command": "fly"}, "got 'fly'"),
        ({"command": ["ping"]}, "got ['ping']"),
        ({"command": "x" * 5000}, "..."),
        ({"command": "ping", "loud": 1}, "with the fields command; got the field 'loud'"),
        ({"command": "prompt"}, "command, prompts; got no field 'prompts'"),
        ({"command": "prompt", "prompts": "person"}, "prompts as a list"),
        ({"command": "prompt", "prompts": ["person"]}, "a prompt such as"),
        ({"command": "prompt", "prompts": [{"txt": "a"}]}, "text, negative; got the field 'txt'"),
        ({"command": "prompt", "prompts": [{}]}, "got no field 'text'"),
        ({"command": "prompt", "prompts": [{"text": 5}]}, "text as a string; got 5"),
        (
            {"command": "prompt", "prompts": [{"text": "a", "negative": "b"}]},
            "negative as a list of strings; got 'b'",
        ),
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
    ],
)
def test_a_prompt_that_cannot_be_used_changes_nothing(prompts: Any) -> None:
    pipeline = Prompts()
    with pytest.raises(PromptError):
        command_handler(pipeline, threading.Event())({"command": "prompt", "prompts": prompts})
    assert pipeline.current.version == 0
