"""The table of controls: what it declares, what it takes, what it refuses."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from promptmatte.controls import (
    CONTROLS,
    Controls,
    MatteControls,
    StreamControls,
    control_table,
    named_control,
)
from promptmatte.errors import ControlError, PromptMatteError


def test_the_table_is_the_fields_and_json() -> None:
    table = json.loads(json.dumps(control_table(), allow_nan=False))
    declared = [*fields(MatteControls), *fields(StreamControls)]
    assert [row["name"] for row in table] == [f.name for f in declared]
    assert all(row["help"] and row["scope"] in ("channel", "stream") for row in table)
    assert {row["kind"] for row in table} == {"float", "int", "bool", "choice"}
    by_name = {row["name"]: row for row in table}
    assert by_name["expand"] == {
        "name": "expand", "scope": "channel", "kind": "float", "low": -20.0, "high": 20.0,
        "default": 0.0, "unit": "px", "choices": [],
        "help": "moves the edge outwards; below 0 inwards (choke)",
    }  # fmt: skip
    assert by_name["overlap"]["choices"] == ["independent", "exclusive"]
    assert by_name["overlap"]["low"] is None


def test_every_default_and_limit_can_be_used() -> None:
    for row in CONTROLS.values():
        assert row.checked(row.default) == row.default
        if row.kind in ("float", "int"):
            assert row.low < row.high
            for limit in (row.low, row.high):
                assert row.parsed(f"{limit:g}") == limit


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("threshold", "0.4", 0.4),
        ("threshold", " .4 ", 0.4),
        ("expand", "-2", -2.0),
        ("smoothness", "3", 3),
        ("smoothness", "3.0", 3),
        ("invert", "on", True),
        ("invert", "False", False),
        ("overlap", "Exclusive", "exclusive"),
    ],
)
def test_what_people_type_is_parsed(name: str, text: str, value: Any) -> None:
    parsed = named_control(name).parsed(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("threshold", 2, "expected threshold as a number of 0.05 to 0.95; got 2"),
        ("threshold", float("nan"), "got nan"),
        ("threshold", float("inf"), "got inf"),
        ("softness", True, "got True"),
        ("threshold", "0.4", "got '0.4'"),
        ("threshold", None, "got None"),
        ("threshold", 10**400, "got 1000"),
        ("threshold", ["x"] * 500, "..."),
        ("expand", -20.5, "expected expand as a number of -20 to 20 px; got -20.5"),
        ("smoothness", 2.5, "expected smoothness as a whole number of 1 to 5; got 2.5"),
        ("smoothness", True, "got True"),
        ("invert", 1, "expected invert as on or off (true or false); got 1"),
        ("overlap", "both", "expected overlap as independent or exclusive; got 'both'"),
        ("overlap", ["exclusive"], "got ['exclusive']"),
        ("treshold", 0.4, "expected a control of threshold, softness,"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line(name: str, value: Any, message: str) -> None:
    with pytest.raises(ControlError) as refusal:
        Controls().replaced({"hold": 1.0, name: value})
    text = str(refusal.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 300
    assert isinstance(refusal.value, PromptMatteError)


@pytest.mark.parametrize("text", ["", "high", "nan", "1e999", "0,4"])
def test_text_that_is_no_number_is_refused_as_typed(text: str) -> None:
    with pytest.raises(ControlError, match="expected threshold as a number"):
        named_control("threshold").parsed(text)


def test_a_control_made_by_hand_is_checked_too() -> None:
    assert MatteControls(expand=-2).expand == -2.0
    assert isinstance(MatteControls(expand=-2).expand, float)
    with pytest.raises(ControlError, match="expected feather"):
        MatteControls(feather=51.0)
    with pytest.raises(ControlError, match="expected latency"):
        StreamControls(latency=4)
    with pytest.raises(ControlError, match="4 channels"):
        Controls(channels=(MatteControls(),))


def test_values_change_in_one_channel_or_in_all() -> None:
    before = Controls()
    second = before.replaced({"threshold": 0.4, "invert": True}, channel=1)
    assert [c.threshold for c in second.channels] == [0.5, 0.4, 0.5, 0.5]
    assert [c.invert for c in second.channels] == [False, True, False, False]
    both = second.replaced({"threshold": 0.6, "overlap": "exclusive"})
    assert [c.threshold for c in both.channels] == [0.6] * 4
    assert both.channels[1].invert
    assert both.stream.overlap == "exclusive"
    assert before == Controls()


def test_a_control_of_the_stream_belongs_to_no_prompt() -> None:
    with pytest.raises(ControlError, match="overlap without a prompt"):
        Controls().replaced({"threshold": 0.4, "overlap": "exclusive"}, channel=0)


def test_values_are_json_and_changed_ones_only_what_differs() -> None:
    controls = Controls().replaced({"feather": 3}, channel=2).replaced({"latency": 1})
    assert controls.changed() == {
        "channels": [{}, {}, {"feather": 3.0}, {}],
        "stream": {"latency": 1},
    }
    values = json.loads(json.dumps(controls.values()))
    assert values["channels"][2]["feather"] == 3.0
    assert list(values["channels"][0]) == [f.name for f in fields(MatteControls)]
    assert values["stream"] == {
        "overlap": "independent",
        "fill": "none",
        "latency": 1,
        "encode_hz": 8.0,
    }
