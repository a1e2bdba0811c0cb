"""Commands from outside, the same for every link: prompt, status, stop, ping."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from promptmatte.errors import CommandError
from promptmatte.links.protocol import CommandHandler
from promptmatte.prompts import Prompt, PromptSet

FIELDS = {
    "prompt": ("prompts",),
    "status": (),
    "stop": (),
    "ping": (),
}
"""Command -> the fields it has besides `command`, all of them required."""


class Commanded(Protocol):
    """What commands act on; a Pipeline is one."""

    def set_prompts(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        """Replaces the prompts."""
        ...

    def status(self) -> dict[str, Any]:
        """The state as JSON values."""
        ...


def command_handler(pipeline: Commanded, stop: threading.Event) -> CommandHandler:
    """A function that answers one command with {"ok": true, ...}; callable from any thread.

    stop: set by the command stop, for whoever runs the server to end it.

    It raises CommandError for a malformed command and PromptError for a prompt that
    cannot be used; nothing is changed then.
    """

    def handle(command: Mapping[str, Any]) -> dict[str, Any]:
        match _checked_name(command):
            case "prompt":
                version = pipeline.set_prompts(_prompts_from(command["prompts"])).version
                return {"ok": True, "prompts_version": version}
            case "status":
                return {"ok": True, "status": pipeline.status()}
            case "stop":
                stop.set()
        return {"ok": True}

    return handle


def _checked_name(command: Mapping[str, Any]) -> str:
    name = command.get("command")
    if not isinstance(name, str) or name not in FIELDS:
        known = ", ".join(FIELDS)
        raise CommandError(f"expected a command of {known}; got {_shown(name)}")
    _check_fields(command, f"the command {name}", ("command", *FIELDS[name]), ())
    return name


def _prompts_from(value: Any) -> tuple[Prompt, ...]:
    if not isinstance(value, list):
        raise CommandError(
            f'expected prompts as a list such as [{{"text": "person"}}]; got {_shown(value)}'
        )
    return PromptSet(prompts=tuple(_prompt_from(entry) for entry in value)).prompts


def _prompt_from(entry: Any) -> Prompt:
    if not isinstance(entry, Mapping):
        raise CommandError(f'expected a prompt such as {{"text": "person"}}; got {_shown(entry)}')
    _check_fields(entry, "a prompt", ("text",), ("negative",))
    text, negative = entry["text"], entry.get("negative", [])
    if not isinstance(text, str):
        raise CommandError(f"expected text as a string; got {_shown(text)}")
    if not isinstance(negative, list) or not all(isinstance(name, str) for name in negative):
        raise CommandError(f"expected negative as a list of strings; got {_shown(negative)}")
    return Prompt(text=text, negative=tuple(negative))


def _check_fields(
    given: Mapping[str, Any], what: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    unknown = [field for field in given if field not in required + optional]
    missing = [field for field in required if field not in given]
    if unknown or missing:
        fault = f"the field {_shown(unknown[0])}" if unknown else f"no field {missing[0]!r}"
        expected = ", ".join(required + optional)
        raise CommandError(f"expected {what} with the fields {expected}; got {fault}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
