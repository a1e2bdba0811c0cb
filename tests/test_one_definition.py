"""Every control on every surface: command line, show file, mailbox, OSC, web page, TouchDesigner,
with the default and the range of the one table, promptmatte.controls.CONTROLS."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from promptmatte.clock import RealClock
from promptmatte.commands.config import serve_parser
from promptmatte.commands.options import controls_from
from promptmatte.commands.show_example import example_show
from promptmatte.commands.show_file import ShowFile
from promptmatte.config import PipelineConfig
from promptmatte.control.commands import command_handler
from promptmatte.controls import CONTROLS, Control, Controls, Value
from promptmatte.errors import PromptMatteError
from promptmatte.links.protocol import CommandHandler
from promptmatte.models.choice import ModelChoice
from promptmatte.pipeline import Pipeline
from promptmatte.sources import open_source
from promptmatte_td import parameters

ROWS = list(CONTROLS.values())
IDS = list(CONTROLS)

COMPONENTS = """
import json
import gradio
from promptmatte.web.control_panel import controls_of

with gradio.Blocks():
    made = {**controls_of("channel"), **controls_of("stream")}
print(json.dumps({
    name: {
        "kind": type(component).__name__,
        "value": component.value,
        "info": component.info,
        "choices": [value for _, value in getattr(component, "choices", ())],
        "low": getattr(component, "minimum", None),
        "high": getattr(component, "maximum", None),
    }
    for name, component in made.items()
}))
"""

Range = tuple[float, float] | tuple[str, ...]


@pytest.fixture
def handler() -> CommandHandler:
    """Commands to a pipeline that is not started: it keeps and tells what was set all the same."""
    clock = RealClock()
    pipeline = Pipeline(
        open_source=lambda: open_source("test:", clock=clock, links=[]),
        model=ModelChoice(device="cpu"),
        links=[],
        config=PipelineConfig(),
        clock=clock,
    )
    return command_handler(pipeline, threading.Event())


def range_of(row: Control) -> Range:
    """What the table allows, a switch as 0 to 1."""
    if row.kind == "choice":
        return row.choices
    return (0.0, 1.0) if row.kind == "bool" else (row.low, row.high)


def takes_just_its_range(row: Control, take: Callable[[Value], Value]) -> None:
    """take: hands a value to a surface and returns what was kept; PromptMatteError for none."""
    if row.kind == "choice":
        assert [take(choice) for choice in row.choices] == list(row.choices)
        refused: list[Value] = ["no such choice"]
    elif row.kind == "bool":
        assert [take(True), take(False)] == [True, False]
        refused = ["perhaps"]
    else:
        assert take(row.low) == pytest.approx(row.low)
        assert take(row.high) == pytest.approx(row.high)
        step = 1 if row.kind == "int" else (row.high - row.low) / 1000
        refused = [row.low - step, row.high + step, "much"]
    for value in refused:
        with pytest.raises((PromptMatteError, SystemExit)):
            take(value)


def value_of(controls: Controls, row: Control) -> Value:
    part = controls.channels[0] if row.scope == "channel" else controls.stream
    value: Value = getattr(part, row.name)
    return value


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_command_line(row: Control) -> None:
    parser = serve_parser()
    option = f"--{row.name.replace('_', '-')}"
    (action,) = (a for a in parser._actions if option in a.option_strings)
    told = re.search(r"\(default: (.*)\)", str(action.help))
    default = "off" if row.default is False else str(row.default)
    assert told is not None
    assert told[1] == default
    if row.kind != "bool":
        separator = "|" if row.kind == "choice" else ".."
        parts = str(action.metavar).split(separator)
        assert tuple(parts if row.kind == "choice" else map(float, parts)) == range_of(row)

    def take(value: Value) -> Value:
        if row.kind == "bool":
            words = [option if value is True else f"--no-{option[2:]}" if value is False else "no"]
        else:
            words = [f"{option}={value}"]
        return value_of(controls_from(parser.parse_args(words), Controls()), row)

    takes_just_its_range(row, take)
    assert value_of(controls_from(parser.parse_args([]), Controls()), row) == row.default


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_show_file(row: Control, tmp_path: Path) -> None:
    example = re.sub(r"(?m)^#(\w+ = )", r"\1", example_show(serve_parser()))
    assert tomllib.loads(example)["controls"][row.name] == row.default
    path = tmp_path / "show.toml"

    def take(value: Value) -> Value:
        written = str(value).lower() if isinstance(value, bool) else repr(value)
        path.write_text(f"[controls]\n{row.name} = {written}\n", encoding="utf-8")
        return value_of(ShowFile.read(path).controls, row)

    takes_just_its_range(row, take)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_mailbox(row: Control, handler: CommandHandler) -> None:
    (told,) = (r for r in handler({"command": "controls"})["controls"] if r["name"] == row.name)
    assert (told["default"], told["scope"], told["kind"]) == (row.default, row.scope, row.kind)
    if row.kind == "choice":
        assert tuple(told["choices"]) == range_of(row)
    elif row.kind != "bool":
        assert (told["low"], told["high"]) == range_of(row)

    def take(value: Value) -> Value:
        handler({"command": "set", "controls": {row.name: value}})
        return _kept(handler, row)

    assert _kept(handler, row) == row.default
    takes_just_its_range(row, take)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_osc(row: Control, handler: CommandHandler) -> None:
    pytest.importorskip("pythonosc", reason="needs the extra osc")
    from promptmatte.control.osc_feedback import parameter_values
    from promptmatte.control.osc_map import changes_of
    from promptmatte.control.osc_packet import Message
    from promptmatte.control.osc_places import Places

    name = f"1/{row.name}" if row.scope == "channel" else row.name
    told = handler({"command": "controls"})["values"]
    status = handler({"command": "status"})["status"]
    fed_back = parameter_values(told, status, Places())
    assert fed_back[f"/promptmatte/{name}"] == (row.default,)

    def take(value: Value) -> Value:
        message = Message(address=f"/promptmatte/{name}", arguments=(value,))
        (change,) = changes_of(message)
        assert change.value is not None
        return change.value

    takes_just_its_range(row, take)


@pytest.fixture(scope="module")
def components() -> dict[str, dict[str, Any]]:
    """What the live tab's controls are made with, from a process of its own: gradio leaves event
    loops open."""
    pytest.importorskip("gradio", reason="needs the extra web")
    done = subprocess.run(
        [sys.executable, "-c", COMPONENTS], capture_output=True, text=True, check=True
    )
    told: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_web_page(row: Control, components: dict[str, dict[str, Any]]) -> None:
    told = components[row.name]
    assert (told["value"], told["info"]) == (row.default, row.help)
    match row.kind:
        case "bool":
            assert told["kind"] == "Checkbox"
        case "choice":
            assert tuple(told["choices"]) == range_of(row)
        case _:
            assert (told["low"], told["high"]) == range_of(row)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_touchdesigner(row: Control) -> None:
    by_name = {name: r for r in parameters.rows() for name in r.names}
    names = parameters.CHANNEL_CONTROLS.get(row.name) or (parameters.STREAM_CONTROLS[row.name],)
    assert len(names) == (4 if row.scope == "channel" else 1)
    for name in names:
        parameter = by_name[name]
        assert parameter.default == row.default
        match row.kind:
            case "bool":
                assert parameter.kind == parameters.TOGGLE
            case "choice":
                assert tuple(choice for choice, _ in parameter.choices) == range_of(row)
            case _:
                assert (parameter.low, parameter.high) == range_of(row)


def _kept(handler: CommandHandler, row: Control) -> Value:
    values = handler({"command": "controls"})["values"]
    kept: Value = (values["channels"][0] if row.scope == "channel" else values["stream"])[row.name]
    return kept
