"""A show file to begin with: every option and control, explained, at its default."""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from promptmatte.commands.show_file import SETTINGS
from promptmatte.controls import CONTROLS, Control
from promptmatte.errors import ConfigError

WIDTH = 98

HEAD = """\
A show for `promptmatte serve --config FILE`; `promptmatte config check FILE` says what is wrong.

A line that begins with # and a space explains. A line that begins with # and a name has the value
that holds without it: take the # away and change it. After # and a space, a value is an example, as
there is none without it.

While the server runs it follows this file: prompts and controls change in the show as soon as they
are saved, all else at the next start. Options on the command line win over the file."""

CONTROLS_HEAD = "Controls, for all prompts. px: of a picture 540 lines high."

PROMPTS_HEAD = """\
What to key, up to four, a matte channel each. "person + dog - hair" is one prompt; also and
negative say the same in lists. Controls of one prompt alone go below it. For several cameras see
docs/streams.md."""


def example_show(serve: argparse.ArgumentParser) -> str:
    """The text of the file. serve: the parser of `promptmatte serve`, which has the options'
    help and defaults."""
    lines = [*_prose(HEAD), ""]
    actions = {action.dest: action for action in serve._actions}
    defaults = serve.get_default("defaults")
    for name in SETTINGS:
        lines += _setting(name, actions[name], defaults[name])
    lines += [*_prose(CONTROLS_HEAD), "[controls]"]
    for row in CONTROLS.values():
        lines += [*_prose(_explained(row)), f"#{row.name} = {toml_value(row.default)}"]
    lines += ["", *_prose(PROMPTS_HEAD), *_prompt_example()]
    return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML writes it; ConfigError for a kind that no show has."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            # JSON's escapes are TOML's, but for DEL.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(map(toml_value, value))}]"
    raise ConfigError(f"expected a text, number, switch or list for a show; got {value!r}")


def _setting(name: str, action: argparse.Action, default: Any) -> Iterator[str]:
    """Its explanation and its line; an option without a default has an example."""
    yield from _prose(_help_of(action))
    if name == "out" and default is None:
        default = ["shm:promptmatte"]
    if default is None:
        yield f"# {name} = {toml_value(_example(name, action))}"
    else:
        yield f"#{name} = {toml_value(default)}"
    yield ""


def _help_of(action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": "promptmatte serve"}
    return re.sub(r" ?\(default: [^)]*\)", "", text)


def _example(name: str, action: argparse.Action) -> Any:
    kind = SETTINGS[name]
    if action.const is not None:
        return action.const
    if kind == "a number":
        return 60
    if kind == "true or false":
        return False
    return [str(action.metavar)] if kind == "a list of texts" else str(action.metavar or "auto")


def _explained(row: Control) -> str:
    values = {
        "bool": "true or false",
        "choice": " or ".join(row.choices),
    }.get(row.kind, f"{row.low:g} to {row.high:g} {row.unit}".rstrip())
    return f"{row.help}; {values}"


def _prompt_example() -> list[str]:
    own = [row for row in CONTROLS.values() if row.scope == "channel"]
    return [
        "# [[prompt]]",
        '# text = "person"',
        '# also = ["dog"]',
        '# negative = ["hair"]',
        *(f"# {row.name} = {toml_value(row.default)}" for row in own),
    ]


def _prose(text: str) -> Iterator[str]:
    for index, paragraph in enumerate(text.split("\n\n")):
        yield from ["#"] if index else []
        for line in textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False):
            yield f"# {line}"
