"""The OSC map: which address sets what, derived from the table of controls.

The component's own map (promptmatte_td.osc) has the same addresses for the same things.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from promptmatte.control.osc_packet import Argument, Message
from promptmatte.controls import CONTROLS, Control, Value
from promptmatte.errors import CommandError, shown
from promptmatte.frame import MAX_CHANNELS

ROOT = "/promptmatte"

TEXTS = {
    "prompt": "what to key; empty takes the prompt away, and the others keep their number",
    "negative": "what to leave out of that prompt; commas part several things, empty is none",
}
"""What each prompt has besides controls, by its address."""

SHARED_TEXTS = {"model": "name of a model of `promptmatte models list`"}

REQUESTS = {
    "suggest": "looks for what could be keyed in the picture; 0 does nothing",
    "refresh": "sends all values again, to everyone who gets feedback",
    "subscribe": "feedback to the sender, at this port or the one it sends from, for 60 s",
    "unsubscribe": "ends that",
}
"""Addresses that ask for something once."""

ELSEWHERE = {
    **dict.fromkeys(
        ("active", "fade_time", "preset", "recall", "composite_from"),
        "is the TouchDesigner component's: send it to the component's OSC port",
    ),
    **dict.fromkeys(
        ("start", "stop", "restart"),
        "is the TouchDesigner component's, as no message can start a server that has ended: "
        "send it there, or run `promptmatte stop`",
    ),
}
"""Addresses of the component's that mean nothing here, and why."""

PLACED = (*TEXTS, *(name for name, row in CONTROLS.items() if row.scope == "channel"))
SHARED = (*(name for name, row in CONTROLS.items() if row.scope == "stream"), *SHARED_TEXTS)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a message wants: a value for a name of the map; place 1 to 4, None for all
    together. The value of a request is its argument, None without one."""

    name: str
    place: int | None
    value: Value | None


def changes_of(message: Message) -> list[Change]:
    """What a message changes, checked; CommandError or ControlError for one that cannot be
    used. Something of the prompts without a number is meant for all of them."""
    address = message.address
    start, *parts = address.removeprefix("/").split("/")
    if f"/{start}" != ROOT or len(parts) not in (1, 2):
        raise CommandError(f"expected {ROOT}/NAME or {ROOT}/1/NAME; got {shown(address)}")
    name = parts[-1]
    if name in ELSEWHERE:
        raise CommandError(f"{shown(address)} {ELSEWHERE[name]}")
    if name in REQUESTS and len(parts) == 1:
        return _request(name, message)
    if name not in PLACED and (name not in SHARED or len(parts) == 2):
        known = PLACED if len(parts) == 2 else (*PLACED, *SHARED, *REQUESTS)
        raise CommandError(f"expected a name of {', '.join(known)}; got {shown(address)}")
    if len(message.arguments) != 1:
        raise CommandError(
            f"expected one value after {shown(address)}; got {len(message.arguments)}"
        )
    value = _value(name, message)
    if len(parts) == 2:
        return [Change(name=name, place=_place(parts[0], address), value=value)]
    places = range(1, MAX_CHANNELS + 1) if name in PLACED else (None,)
    return [Change(name=name, place=place, value=value) for place in places]


def port_of(value: Value | None) -> int | None:
    """The port after subscribe or unsubscribe, None when there is none; CommandError."""
    if value is None:
        return None
    if isinstance(value, str | bool) or not 1 <= value <= 65535:
        raise CommandError(f"expected a port of 1 to 65535; got {shown(value)}")
    return int(value)


def map_table() -> str:
    """The map as a table in Markdown, with ranges and defaults."""
    lines = ["| address | value | default | what it does |", "| --- | --- | --- | --- |"]
    lines += [f"| `{ROOT}/N/{name}` | text | | {text} |" for name, text in TEXTS.items()]
    for row in CONTROLS.values():
        number = "/N" if row.scope == "channel" else ""
        default = int(row.default) if row.kind == "bool" else row.default
        lines.append(f"| `{ROOT}{number}/{row.name}` | {_range(row)} | {default} | {row.help} |")
    lines += [f"| `{ROOT}/{name}` | text | | {text} |" for name, text in SHARED_TEXTS.items()]
    takes = {"subscribe": "none, or a port", "unsubscribe": "none, or a port"}
    lines += [
        f"| `{ROOT}/{name}` | {takes.get(name, 'none')} | | {text} |"
        for name, text in REQUESTS.items()
    ]
    return "\n".join(lines)


def _range(row: Control) -> str:
    if row.kind == "choice":
        return " ".join(f"{text} ({index})" for index, text in enumerate(row.choices))
    if row.kind == "bool":
        return "0 or 1"
    return f"{row.low:g} to {row.high:g} {row.unit}".rstrip()


def _request(name: str, message: Message) -> list[Change]:
    first = message.arguments[0] if message.arguments else None
    if len(message.arguments) > 1:
        raise CommandError(f"expected at most one value after {message.address}")
    if name in ("suggest", "refresh") and first is not None and not first:
        return []
    if name in ("subscribe", "unsubscribe"):
        port_of(first)
    return [Change(name=name, place=None, value=first)]


def _place(number: str, address: str) -> int:
    if number not in map(str, range(1, MAX_CHANNELS + 1)):
        raise CommandError(f"expected a prompt of 1 to {MAX_CHANNELS}; got {shown(address)}")
    return int(number)


def _value(name: str, message: Message) -> Value:
    """The one argument as the parameter takes it."""
    value = message.arguments[0]
    if isinstance(value, float) and math.isfinite(value):
        value = float(f"{value:.7g}")  # what was typed before it became 32 bits
    if name in CONTROLS:
        return CONTROLS[name].checked(_fitting(CONTROLS[name], value))
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        raise CommandError(f"expected a text after {shown(message.address)}; got {shown(value)}")
    return f"{value:g}"


def _fitting(row: Control, value: Argument) -> Argument:
    """The argument in the kind of a control, as far as it can be: faders know no whole numbers,
    buttons no switches, menus no names."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    if row.kind == "int":
        return round(value)
    if row.kind == "bool" and value in (0, 1):
        return bool(value)
    if row.kind == "choice" and value in range(len(row.choices)):
        return row.choices[int(value)]
    return value
