"""The live controls, declared once: every surface that shows or sets them derives from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from promptmatte.errors import ControlError, shown
from promptmatte.frame import MAX_CHANNELS

Value = bool | int | float | str

KINDS = {bool: "bool", int: "int", float: "float", str: "choice"}

SWITCHES = {
    **dict.fromkeys(("on", "true", "yes", "1"), True),
    **dict.fromkeys(("off", "false", "no", "0"), False),
}
"""What people type for a switch."""


def control(
    default: Value,
    low: float = 0,
    high: float = 0,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    help: str,  # noqa: A002  the word that every surface uses
) -> Any:
    """A dataclass field that is a control; its kind is the type of its default."""
    declared = {"low": low, "high": high, "unit": unit, "choices": choices, "help": help}
    return field(default=default, metadata={"default": default, **declared})


@dataclass(frozen=True, kw_only=True)
class Control:
    """One row of the table. scope: channel (one value a prompt) or stream (one value).

    low and high hold for numbers, choices for a choice. unit px: pixels of a picture 540
    lines high, whatever the size of the live one.
    """

    name: str
    scope: str
    default: Value
    low: float
    high: float
    unit: str
    choices: tuple[str, ...]
    help: str

    @property
    def kind(self) -> str:
        """float, int, bool or choice."""
        return KINDS[type(self.default)]

    def checked(self, value: Any) -> Value:
        """The value in the control's own type; ControlError for another kind or range.

        A whole number may come as 2.0, as some programs know nothing else; a number is
        never true or false, nor NaN.
        """
        match self.kind:
            case "bool":
                fits = isinstance(value, bool)
            case "choice":
                fits = value in self.choices
            case _:
                fits = (
                    isinstance(value, int | float)
                    and not isinstance(value, bool)
                    and self.low <= value <= self.high  # which a NaN is not
                    and (self.kind == "float" or value == int(value))
                )
        if not fits:
            raise ControlError(f"expected {self.name} as {self._expected}; got {shown(value)}")
        return type(self.default)(value)

    def parsed(self, text: str) -> Value:
        """The value that people typed as text: 0.4, on, exclusive; ControlError."""
        word = text.strip().lower()
        if self.kind == "bool":
            return self.checked(SWITCHES.get(word, text))
        if self.kind == "choice":
            return self.checked(word)
        try:
            return self.checked(float(word))
        except ValueError:
            return self.checked(text)

    def entry(self) -> dict[str, Any]:
        """The row as JSON values; what does not hold for its kind is None or empty."""
        numeric = self.kind in ("float", "int")
        return {
            "name": self.name,
            "scope": self.scope,
            "kind": self.kind,
            "low": self.low if numeric else None,
            "high": self.high if numeric else None,
            "default": self.default,
            "unit": self.unit,
            "choices": list(self.choices),
            "help": self.help,
        }

    @property
    def _expected(self) -> str:
        match self.kind:
            case "bool":
                return "on or off (true or false)"
            case "choice":
                return " or ".join(self.choices)
            case "int":
                number = "a whole number"
            case _:
                number = "a number"
        return f"{number} of {self.low:g} to {self.high:g} {self.unit}".rstrip()


class _Checked:
    """Checks the fields of a dataclass of controls when it is made."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:  # type: ignore[attr-defined]
            object.__setattr__(self, name, CONTROLS[name].checked(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class MatteControls(_Checked):
    """How the matte of one prompt looks; ControlError for a value out of range."""

    threshold: float = control(
        0.5, 0.05, 0.95, help="how sure the mask must be: less takes in more"
    )
    softness: float = control(
        0.0, 0.0, 1.0, help="width of the ramp at the edge: 0 as fitted, 1 widest"
    )
    smoothness: int = control(
        1, 1, 5, help="closes holes and gaps up to this step: 1 none, 5 the widest"
    )
    expand: float = control(
        0.0, -20.0, 20.0, unit="px", help="moves the edge outwards; below 0 inwards (choke)"
    )
    feather: float = control(
        0.0, 0.0, 50.0, unit="px", help="blurs the edge by this much to each side"
    )
    edge_detail: float = control(
        0.5, 0.0, 1.0, help="0 keeps a smooth outline, 1 follows every hair"
    )
    temporal_smoothing: float = control(
        0.5, 0.0, 1.0, help="steadies the matte in time: 0 off, 1 the calmest"
    )
    invert: bool = control(False, help="keys everything but the thing")
    hold: float = control(
        0.3, 0.0, 10.0, unit="s", help="how long a matte stays when its thing is lost, then fades"
    )
    hysteresis: float = control(
        0.1, 0.0, 0.5, help="how far under the floor the confidence falls before a matte goes"
    )
    confidence_floor: float = control(
        0.35, 0.0, 1.0, help="below this confidence a thing counts as absent"
    )


@dataclass(frozen=True, kw_only=True)
class StreamControls(_Checked):
    """What holds for all prompts together; ControlError for a value that is none."""

    overlap: str = control(
        "independent",
        choices=("independent", "exclusive"),
        help="whether a place may belong to several prompts",
    )
    fill: str = control(
        "none",
        choices=("none", "picture", "foreground"),
        help="the picture sent with a matte: its own frame, or the foreground cut out of it",
    )
    latency: int = control(
        0, 0, 3, unit="frames", help="frames a matte may wait for later ones, for quality"
    )
    encode_hz: float = control(8.0, 0.1, 120.0, unit="Hz", help="keyframes a second at most")


def _declared(controls: type[MatteControls | StreamControls], scope: str) -> dict[str, Control]:
    return {
        row.name: Control(name=row.name, scope=scope, **row.metadata) for row in fields(controls)
    }


CONTROLS = {**_declared(MatteControls, "channel"), **_declared(StreamControls, "stream")}
"""Every control by its name, in the order in which surfaces show them."""


@dataclass(frozen=True, kw_only=True)
class Controls:
    """The value of every control: a MatteControls for each matte channel, and the stream's."""

    channels: tuple[MatteControls, ...] = (MatteControls(),) * MAX_CHANNELS
    stream: StreamControls = StreamControls()

    def __post_init__(self) -> None:
        if len(self.channels) != MAX_CHANNELS:
            raise ControlError(
                f"expected the controls of {MAX_CHANNELS} channels; got {len(self.channels)}"
            )

    def replaced(self, values: Mapping[str, object], *, channel: int | None = None) -> Controls:
        """These controls with values changed by name, in one channel (0 to 3) or, with
        None, in all of them; ControlError, with nothing changed, if one cannot be used."""
        own: dict[str, Any] = {}
        shared: dict[str, Any] = {}
        for name, value in values.items():
            row = named_control(name)
            if row.scope == "channel":
                own[name] = row.checked(value)
            elif channel is None:
                shared[name] = row.checked(value)
            else:
                raise ControlError(
                    f"expected {name} without a prompt, as it holds for all of them; "
                    f"got it for prompt {channel + 1}"
                )
        channels = tuple(
            replace(controls, **own) if channel in (None, index) else controls
            for index, controls in enumerate(self.channels)
        )
        return Controls(channels=channels, stream=replace(self.stream, **shared))

    def values(self) -> dict[str, Any]:
        """All values as JSON values: {"channels": [four objects], "stream": object}."""
        return {"channels": [asdict(c) for c in self.channels], "stream": asdict(self.stream)}

    def changed(self) -> dict[str, Any]:
        """As values(), with only those that differ from their defaults."""
        return {
            "channels": [_changed(asdict(c)) for c in self.channels],
            "stream": _changed(asdict(self.stream)),
        }


def named_control(name: str) -> Control:
    """The control of this name; ControlError with the names there are."""
    if name not in CONTROLS:
        raise ControlError(f"expected a control of {', '.join(CONTROLS)}; got {shown(name)}")
    return CONTROLS[name]


def control_table() -> list[dict[str, Any]]:
    """Every control as JSON values: name, scope, kind, low, high, default, unit, choices, help."""
    return [row.entry() for row in CONTROLS.values()]


def _changed(values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value != CONTROLS[name].default}
