"""The OSC map says what the table of controls says, and what the component's own map says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("pythonosc", reason='needs python-osc: pip install "promptmatte[osc]"')

from osc_peer import bundle, decoded, message, padded
from promptmatte.control.osc_feedback import OUTPUTS
from promptmatte.control.osc_map import (
    ELSEWHERE,
    PLACED,
    REQUESTS,
    ROOT,
    SHARED,
    Change,
    changes_of,
    map_table,
)
from promptmatte.control.osc_packet import MOST_BYTES, Message, encoded, messages_of
from promptmatte.controls import CONTROLS, Control
from promptmatte.errors import CommandError, ControlError
from promptmatte_td import osc as component

ROWS = pytest.mark.parametrize("row", CONTROLS.values(), ids=list(CONTROLS))


def changes(address: str, *values: object) -> list[Change]:
    (read,) = messages_of(message(f"{ROOT}/{address}", *values))
    return changes_of(read)


@ROWS
def test_every_control_is_in_the_map_with_its_range_and_default(row: Control) -> None:
    numbered = row.scope == "channel"
    address = f"2/{row.name}" if numbered else row.name
    default = int(row.default) if row.kind == "bool" else row.default
    ends = {"bool": (False, True), "choice": row.choices}.get(row.kind, (row.low, row.high))
    for value in (default, *ends):
        sent = float(value) if row.kind in ("int", "float", "bool") else value
        (change,) = changes(address, sent)
        assert change == Change(name=row.name, place=2 if numbered else None, value=value)
        assert type(change.value) is type(row.default)
    line = next(line for line in map_table().splitlines() if f"/{row.name}`" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[0] == f"`{ROOT}/{'N/' if numbered else ''}{row.name}`"
    assert cells[2:] == [str(default), row.help]
    for value in row.choices or ((row.low, row.high) if row.kind in ("int", "float") else (0, 1)):
        assert (f"{value:g}" if not isinstance(value, str) else value) in cells[1]


@ROWS
def test_a_value_beyond_the_range_or_of_another_kind_is_refused(row: Control) -> None:
    wrong = [math.nan, math.inf, -math.inf, "", "x", b"1"]
    wrong += {"bool": [2, "on"], "choice": [len(row.choices), -1, 0.5, True]}.get(
        row.kind, [row.low - 1, row.high + 1, True, "0.5"]
    )
    for value in wrong:
        with pytest.raises((CommandError, ControlError)):
            changes(f"1/{row.name}" if row.scope == "channel" else row.name, value)


def test_numbers_are_those_that_were_typed_and_faders_reach_whole_ones() -> None:
    assert changes("1/threshold", 0.4)[0].value == 0.4
    assert changes("3/smoothness", 2.6)[0].value == 3
    assert [c.value for c in changes("fill", 2)] == ["foreground"]
    assert changes("3/invert", True)[0].value is True


def test_what_belongs_to_prompts_is_meant_for_all_without_a_number() -> None:
    for name in PLACED:
        value = "cat" if name in ("prompt", "negative") else CONTROLS[name].default
        assert [change.place for change in changes(name, value)] == [1, 2, 3, 4]


def test_the_component_has_the_same_addresses() -> None:
    assert set(component.PLACED) == set(PLACED)
    known = {*SHARED, *REQUESTS, *ELSEWHERE}
    assert {*component.SHARED, *component.PULSES} <= known
    assert set(ELSEWHERE) == known - set(SHARED) - set(REQUESTS)
    assert set(ELSEWHERE) < {*component.SHARED, *component.PULSES}
    for name in (*PLACED, *SHARED):
        text = name in ("prompt", "negative", "model")
        value = "cat" if text else CONTROLS[name].default
        component.parameters_of(f"{ROOT}/1/{name}" if name in PLACED else f"{ROOT}/{name}", [value])
    for name in ELSEWHERE:
        with pytest.raises(CommandError, match="component"):
            changes(name, 1)


def test_what_is_only_sent_has_addresses_of_its_own() -> None:
    own = {f"N/{name}" for name in PLACED} | {*PLACED, *SHARED, *REQUESTS, *ELSEWHERE}
    assert not own & set(OUTPUTS)


@pytest.mark.parametrize(
    ("address", "values"),
    [("0/prompt", ["x"]), ("5/prompt", ["x"]), ("1/fill", ["none"]), ("nothing", [1]),
     ("1/2/prompt", ["x"]), ("1/threshold", []), ("1/threshold", [0.1, 0.2]), ("", [1]),
     ("subscribe", [0]), ("subscribe", ["x"]), ("subscribe", [math.nan]), ("1/suggest", [1]),
     ("*/threshold", [0.5]), ("1/prompt", [True])],
)  # fmt: skip
def test_other_messages_are_refused(address: str, values: list[object]) -> None:
    with pytest.raises(CommandError):
        changes(address, *values)


def test_a_button_that_is_let_go_asks_for_nothing() -> None:
    assert [change.name for change in changes("suggest")] == ["suggest"]
    assert changes("suggest", 1.0)
    assert changes("suggest", 0.0) == []


def test_bundles_are_read_whole_or_not_at_all() -> None:
    one, two = message("/a", 1), message("/b", "ü")
    assert messages_of(bundle(one, bundle(two))) == [
        Message(address="/a", arguments=(1,)),
        Message(address="/b", arguments=("ü",)),
    ]
    whole = bundle(one, two)
    for length in range(len(whole)):
        if length not in (16, 16 + 4 + len(one)):
            with pytest.raises(CommandError):
                messages_of(whole[:length])
    deep = one
    for _ in range(40):
        deep = bundle(deep)
    backwards = bundle() + (-4).to_bytes(4, "big", signed=True)
    for data in (deep, bundle(*[one] * 200), backwards, bundle(b"\0" * 8)):
        with pytest.raises(CommandError):
            messages_of(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"x", b"/a", b"/\xff\xfe\0", b"/a\0\0fff\0", b"/a\0\0,f\0\0", b"/a\0\0,s\0\0abcd",
     b"/a\0\0,b\0\0\xff\xff\xff\xf0", b"/a\0\0,I\0\0", b"/a\0\0,[i\0\0\0\0\1", b"#bundle",
     padded(b"/" + b"a" * MOST_BYTES), message("/a", b"\0" * 60_000)],
)  # fmt: skip
def test_what_is_not_osc_is_refused(data: bytes) -> None:
    with pytest.raises(CommandError) as refused:
        messages_of(data)
    assert len(str(refused.value)) < 300


def test_what_is_sent_is_osc_to_the_letter() -> None:
    data = encoded(f"{ROOT}/x", 0.5, 3, True, "äöü")
    assert decoded(data) == (f"{ROOT}/x", (0.5, 3, 1, "äöü"))
    assert data == message(f"{ROOT}/x", 0.5, 3, 1, "äöü")


def test_the_page_has_the_map() -> None:
    page = (Path(__file__).parent.parent / "docs" / "osc.md").read_text(encoding="utf-8")
    assert map_table() in page
    for name, text in OUTPUTS.items():
        assert f"| `{ROOT}/{name}` | {text} |" in page
