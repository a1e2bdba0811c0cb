"""OSC addresses of the component's parameters.

/promptmatte/N/NAME sets prompt N's own (prompt, negative, threshold ...), /promptmatte/NAME
what holds for all; a control of the prompts without a number sets all four.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptmatte_td.mixing import PLACES
from promptmatte_td.parameters import (
    CHANNEL_CONTROLS,
    NEGATIVES,
    PROMPTS,
    PULSE,
    STREAM_CONTROLS,
    rows,
)

ROOT = "promptmatte"

PLACED = {"prompt": PROMPTS, "negative": NEGATIVES, **CHANNEL_CONTROLS}
"""Address of one prompt -> its four parameters."""

SHARED = {
    **STREAM_CONTROLS,
    "active": "Active",
    "fade_time": "Fadetime",
    "preset": "Preset",
    "composite_from": "Compositefrom",
    "model": "Model",
}
"""Address for all -> its parameter."""

PULSES = {
    "suggest": "Suggest",
    "recall": "Presetrecall",
    "start": "Start",
    "stop": "Stop",
    "restart": "Restart",
}
"""Address -> the parameter that is pulsed, by any message but 0."""

_KINDS = {name: row.kind for row in rows() for name in row.names}


class OscError(ValueError):
    """A message that means nothing: what was expected."""


def parameters_of(address: str, arguments: Sequence[Any]) -> dict[str, Any]:
    """The parameters a message sets, with their values; None as the value pulses.

    OscError, in one line, for any other message.
    """
    parts = address.strip("/").split("/")
    if parts[0] != ROOT or not 2 <= len(parts) <= 3:
        raise OscError(f"expected /{ROOT}/NAME or /{ROOT}/1/NAME; got {address[:80]}")
    name = parts[-1]
    if name in PULSES and len(parts) == 2:
        return {PULSES[name]: None} if not arguments or arguments[0] else {}
    if len(arguments) != 1:
        raise OscError(f"expected one value after {address[:80]}; got {len(arguments)}")
    if len(parts) == 3:
        places = _placed(name, address)
        if parts[1] not in map(str, range(1, PLACES + 1)):
            raise OscError(f"expected a prompt of 1 to {PLACES} in {address[:80]}")
        return {places[int(parts[1]) - 1]: _fitting(places[0], arguments[0], address)}
    if name in SHARED:
        return {SHARED[name]: _fitting(SHARED[name], arguments[0], address)}
    places = _placed(name, address)
    return dict.fromkeys(places, _fitting(places[0], arguments[0], address))


def _placed(name: str, address: str) -> tuple[str, ...]:
    if name not in PLACED:
        known = ", ".join((*PLACED, *SHARED, *PULSES))
        raise OscError(f"expected a name of {known} in {address[:80]}")
    return PLACED[name]


def _fitting(parameter: str, value: Any, address: str) -> Any:
    """The value in the parameter's type; a number for a text or menu may come as 1.0."""
    kind = _KINDS[parameter]
    is_number = isinstance(value, int | float)
    if kind in ("float", "int", "toggle"):
        if not is_number or value != value:
            raise OscError(f"expected a number after {address[:80]}; got {str(value)[:40]!r}")
        return {"float": float, "int": int, "toggle": bool}[kind](value)
    if kind == PULSE or not isinstance(value, str | int | float):
        raise OscError(f"expected a text after {address[:80]}")
    return f"{value:g}" if is_number else value
