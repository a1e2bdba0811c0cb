"""Commands from outside, the same for every link: prompts, controls, model, recording, stop."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from promptmatte import COMMANDS_VERSION, __version__
from promptmatte.controls import Controls, control_table
from promptmatte.errors import CommandError, shown
from promptmatte.frame import MAX_CHANNELS
from promptmatte.links.protocol import CommandHandler
from promptmatte.models.choice import MODEL_NAMES, PROMPTERS
from promptmatte.preview import DEFAULT_SIDE, SIDES
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.suggestions import MAX_WORDS

FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prompt": (("prompts",), ()),
    "set": (("controls",), ("prompt",)),
    "controls": ((), ()),
    "model": (("name",), ("clip", "prompter")),
    "suggest": ((), ("words",)),
    "suggestions": ((), ("limit",)),
    "record": (("on",), ()),
    "hello": ((), ()),
    "status": ((), ()),
    "preview": ((), ("side",)),
    "stop": ((), ()),
    "ping": ((), ()),
}
"""Command -> the fields it has besides `command`: required, optional."""

_HELLO = {
    "version": __version__,
    "commands_version": COMMANDS_VERSION,
    "models": list(MODEL_NAMES),
    "prompters": list(PROMPTERS),
}

MODEL_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DEFAULT_SUGGESTIONS = 10


class Commanded(Protocol):
    """What commands act on; a Pipeline is one."""

    def set_prompts(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        """Replaces the prompts."""
        ...

    def notes(self) -> list[str]:
        """What there is to say about the prompts."""
        ...

    @property
    def controls(self) -> Controls:
        """The controls as they are."""
        ...

    def set_controls(self, controls: Controls) -> None:
        """Replaces the controls."""
        ...

    def choose_model(self, **changes: Any) -> object:
        """Loads another model."""
        ...

    def suggest(self, words: Sequence[str]) -> None:
        """Begins to look for what is in the picture."""
        ...

    def suggestions(self, limit: int) -> dict[str, Any]:
        """What was found, as JSON values."""
        ...

    def record(self, on: bool) -> dict[str, Any]:
        """Begins or ends a recording; how it goes, as JSON values."""
        ...

    def status(self) -> dict[str, Any]:
        """The state as JSON values."""
        ...

    def preview(self, side: int) -> dict[str, Any] | None:
        """The newest picture and matte, small, as JSON values."""
        ...


def command_handler(pipeline: Commanded, stop: threading.Event) -> CommandHandler:
    """A function that answers one command with {"ok": true, ...}; callable from any thread.

    stop: set by the command stop, for whoever runs the server to end it. The answers to hello
    and status carry `run`, which is another one after a restart: then a client says again what
    it wants.

    It raises CommandError for a malformed command, PromptError for a prompt and
    ControlError or ConfigError for a control or model that cannot be used, RecordingError for a
    recording that cannot begin; nothing is changed then.
    """
    setting = threading.Lock()  # links answer on threads of their own; no change may get lost
    run = secrets.token_hex(8)

    def handle(command: Mapping[str, Any]) -> dict[str, Any]:
        match _checked_name(command):
            case "prompt":
                version = pipeline.set_prompts(_prompts_from(command["prompts"])).version
                return {"ok": True, "prompts_version": version, "notes": pipeline.notes()}
            case "set":
                values, channel = _controls_from(command)
                with setting:
                    pipeline.set_controls(pipeline.controls.replaced(values, channel=channel))
            case "controls":
                values = pipeline.controls.values()
                return {"ok": True, "controls": control_table(), "values": values}
            case "model":
                pipeline.choose_model(**_model_from(command))
            case "suggest":
                pipeline.suggest(_texts_from(command, "words"))
            case "suggestions":
                limit = _whole(command, "limit", DEFAULT_SUGGESTIONS, (1, MAX_WORDS))
                return {"ok": True, **pipeline.suggestions(limit)}
            case "record":
                return {"ok": True, "recording": pipeline.record(_on_from(command))}
            case "hello":
                return {"ok": True, "run": run, **_HELLO}
            case "status":
                return {"ok": True, "run": run, "status": pipeline.status()}
            case "preview":
                side = _whole(command, "side", DEFAULT_SIDE, SIDES)
                return {"ok": True, "preview": pipeline.preview(side)}
            case "stop":
                stop.set()
        return {"ok": True}

    return handle


def _checked_name(command: Mapping[str, Any]) -> str:
    name = command.get("command")
    if not isinstance(name, str) or name not in FIELDS:
        known = ", ".join(FIELDS)
        raise CommandError(f"expected a command of {known}; got {shown(name)}")
    required, optional = FIELDS[name]
    _check_fields(command, f"the command {name}", ("command", *required), optional)
    return name


def _prompts_from(value: Any) -> tuple[Prompt, ...]:
    if not isinstance(value, list):
        raise CommandError(
            f'expected prompts as a list such as [{{"text": "person"}}]; got {shown(value)}'
        )
    return PromptSet(prompts=tuple(_prompt_from(entry) for entry in value)).prompts


def _prompt_from(entry: Any) -> Prompt:
    if not isinstance(entry, Mapping):
        raise CommandError(f'expected a prompt such as {{"text": "person"}}; got {shown(entry)}')
    _check_fields(entry, "a prompt", ("text",), ("also", "negative"))
    text = entry["text"]
    if not isinstance(text, str):
        raise CommandError(f"expected text as a string; got {shown(text)}")
    return Prompt.parse(
        text, also=_texts_from(entry, "also"), negative=_texts_from(entry, "negative")
    )


def _texts_from(entry: Mapping[str, Any], field: str) -> list[str]:
    texts = entry.get(field, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise CommandError(f"expected {field} as a list of strings; got {shown(texts)}")
    return texts


def _controls_from(command: Mapping[str, Any]) -> tuple[Mapping[str, Any], int | None]:
    """The values to set and the channel, 0 to 3, or None for all."""
    values, prompt = command["controls"], command.get("prompt")
    if not isinstance(values, Mapping):
        raise CommandError(
            f'expected controls as an object such as {{"threshold": 0.4}}; got {shown(values)}'
        )
    if prompt is None:
        return values, None
    if isinstance(prompt, bool) or not isinstance(prompt, int) or not 1 <= prompt <= MAX_CHANNELS:
        raise CommandError(
            f"expected prompt as a number of 1 to {MAX_CHANNELS}; got {shown(prompt)}"
        )
    return values, prompt - 1


def _model_from(command: Mapping[str, Any]) -> dict[str, str]:
    """The names of a model and its parts; never a path, which a message has no business with."""
    fields = {name: value for name, value in command.items() if name != "command"}
    for name, value in fields.items():
        if not isinstance(value, str) or not MODEL_PART.fullmatch(value):
            raise CommandError(
                f"expected {name} as one of the names of `promptmatte models list`; "
                f"got {shown(value)}"
            )
    return fields


def _whole(command: Mapping[str, Any], field: str, default: int, span: tuple[int, int]) -> int:
    """The number in a field, or its default; CommandError out of the span."""
    value, (low, high) = command.get(field, default), span
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise CommandError(f"expected {field} as a number of {low} to {high}; got {shown(value)}")
    return value


def _on_from(command: Mapping[str, Any]) -> bool:
    """On or off; where to is the server's own business, never a message's."""
    on = command["on"]
    if not isinstance(on, bool):
        raise CommandError(f"expected on as true or false; got {shown(on)}")
    return on


def _check_fields(
    given: Mapping[str, Any], what: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    unknown = [field for field in given if field not in required + optional]
    missing = [field for field in required if field not in given]
    if unknown or missing:
        fault = f"the field {shown(unknown[0])}" if unknown else f"no field {missing[0]!r}"
        expected = ", ".join(required + optional)
        raise CommandError(f"expected {what} with the fields {expected}; got {fault}")
