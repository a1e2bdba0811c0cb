"""The component's parameters: TouchDesigner's rules for names, and the server's own controls."""

from __future__ import annotations

import re

import pytest
from promptmatte.controls import CONTROLS
from promptmatte_td.osc import PLACED, PULSES, SHARED, OscError, parameters_of
from promptmatte_td.parameters import (
    CHANNEL_CONTROLS,
    MENU,
    PAGES,
    STREAM_CONTROLS,
    parameter_name,
    rows,
)

NAMES = [name for row in rows() for name in row.names]


def test_every_name_follows_the_rule_and_is_there_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for name in NAMES:
        assert re.fullmatch(r"[A-Z][a-z0-9]*", name), name


def test_every_control_of_the_engine_is_a_parameter_with_its_range_and_default() -> None:
    by_name = {name: row for row in rows() for name in row.names}
    for control in CONTROLS.values():
        names = CHANNEL_CONTROLS.get(control.name) or (STREAM_CONTROLS[control.name],)
        assert len(names) == (4 if control.scope == "channel" else 1)
        for name in names:
            row = by_name[name]
            assert row.default == control.default
            assert control.help in row.help
            if control.kind in ("float", "int"):
                assert (row.kind, row.low, row.high) == (control.kind, control.low, control.high)
            if control.kind == "choice":
                assert [choice for choice, _ in row.choices] == list(control.choices)


def test_every_menu_has_its_default_among_its_choices() -> None:
    for row in rows():
        if row.kind == MENU:
            assert row.default in dict(row.choices), row.name


def test_the_own_page_comes_first_and_about_last() -> None:
    assert list(PAGES) == ["PromptMatte", "Matte", "Server", "Advanced", "About"]
    assert [row.name for row in PAGES["PromptMatte"][:3]] == ["Active", "Status", "Prompt1"]
    assert parameter_name("confidence_floor") == "Confidencefloor"


@pytest.mark.parametrize(
    ("address", "arguments", "values"),
    [
        ("/promptmatte/1/prompt", ["red jacket"], {"Prompt1": "red jacket"}),
        ("/promptmatte/4/negative", ["hair"], {"Negative4": "hair"}),
        ("/promptmatte/2/threshold", [0.25], {"Threshold2": 0.25}),
        ("/promptmatte/2/smoothness", [3.0], {"Smoothness2": 3}),
        ("/promptmatte/3/invert", [1], {"Invert3": True}),
        ("/promptmatte/feather", [4], {f"Feather{n}": 4.0 for n in (1, 2, 3, 4)}),
        ("/promptmatte/overlap", ["exclusive"], {"Overlap": "exclusive"}),
        ("/promptmatte/composite_from", [2.0], {"Compositefrom": "2"}),
        ("/promptmatte/fade_time", [1.5], {"Fadetime": 1.5}),
        ("/promptmatte/recall", [], {"Presetrecall": None}),
        ("/promptmatte/recall", [1.0], {"Presetrecall": None}),
        ("/promptmatte/recall", [0.0], {}),
    ],
)
def test_an_osc_message_sets_parameters(address: str, arguments: list, values: dict) -> None:
    assert parameters_of(address, arguments) == values


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        ("/other/1/prompt", ["a"]),
        ("/promptmatte", ["a"]),
        ("/promptmatte/1/prompt/more", ["a"]),
        ("/promptmatte/5/prompt", ["a"]),
        ("/promptmatte/0/threshold", [0.5]),
        ("/promptmatte/1/nonsense", [0.5]),
        ("/promptmatte/1/threshold", ["high"]),
        ("/promptmatte/1/threshold", [float("nan")]),
        ("/promptmatte/1/threshold", []),
        ("/promptmatte/1/threshold", [0.1, 0.2]),
        ("/promptmatte/1/prompt", [b"\x00"]),
        ("", []),
        ("/" + "x" * 5000, [1]),
    ],
)
def test_any_other_osc_message_is_refused_in_one_short_line(address: str, arguments: list) -> None:
    with pytest.raises(OscError) as refusal:
        parameters_of(address, arguments)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 600


def test_every_osc_name_leads_to_parameters() -> None:
    known = set(NAMES)
    for names in PLACED.values():
        assert set(names) <= known
    assert set(SHARED.values()) <= known
    assert set(PULSES.values()) <= known
