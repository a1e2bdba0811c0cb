"""What a parameter holds. Par objects are views of it; there may be many of one slot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .declaration import NUMBERS, OPERATORS, STRINGS, Declared
from .errors import refuse
from .par_mode import ParMode

if TYPE_CHECKING:
    from .operators import OP
    from .page import Page


@dataclass(eq=False, kw_only=True)
class Slot:
    """A parameter's state."""

    owner: OP
    name: str
    group: str
    style: str
    default: Any
    val: Any
    label: str = ""
    vec_index: int = 0
    custom: bool = False
    page: Page | None = None
    order: float = 0.0
    mode: ParMode = ParMode.CONSTANT
    prev_mode: ParMode = ParMode.CONSTANT
    expr: str = ""
    bind_expr: str = ""
    default_expr: str = ""
    default_mode: ParMode = ParMode.CONSTANT
    menu_names: list[str] | None = None
    menu_labels: list[str] | None = None
    menu_source: str = ""
    low: float = 0.0
    high: float = 1.0
    clamp_low: bool = False
    clamp_high: bool = False
    norm_low: float = 0.0
    norm_high: float = 1.0
    read_only: bool = False
    enable: bool = True
    enable_expr: str = ""
    help: str = ""
    start_section: bool = False
    password: bool = False
    alive: bool = True
    version: int = 0
    set_by_script: bool = False
    seen: Any = field(default=None, repr=False)

    @classmethod
    def builtin(cls, owner: OP, declared: Declared, vec_index: int) -> Slot:
        """The slot of a declared parameter."""
        slot = cls(
            owner=owner,
            name=declared.name,
            group=declared.group,
            style=declared.style,
            default=declared.default,
            val=declared.default,
            label=declared.name,
            vec_index=vec_index,
        )
        if declared.choices:
            slot.menu_names = list(declared.choices)
            slot.menu_labels = list(declared.choices)
        if declared.low is not None:
            slot.low, slot.clamp_low = declared.low, True
        return slot

    @property
    def place(self) -> str:
        """Operator path and name, for messages."""
        return f"{self.owner._path()}.par.{self.name}"

    def changed(self) -> None:
        """Notes a change; the owner has a reason to cook."""
        self.version += 1
        self.owner._touch()

    def accept(self, value: Any) -> Any:
        """The value as this style keeps it; refuses what does not fit."""
        if hasattr(value, "_slot"):
            value = value.eval()
        if self.style in NUMBERS:
            return self._number(value)
        if self.style == "Toggle":
            if isinstance(value, (bool, int, float)):
                return bool(value)
            refuse(f"{self.place}: expected a bool for a toggle; got {value!r}")
        if self.style == "Menu":
            return self._choice(value)
        if self.style in STRINGS:
            if isinstance(value, (str, int, float)):
                return str(value)
            refuse(f"{self.place}: expected a string; got {value!r}")
        if self.style in OPERATORS:
            return self._operators(value)
        return refuse(f"{self.place}: a {self.style} parameter has no value to set; use pulse()")

    def _number(self, value: Any) -> float:
        try:
            number = float(value) if not isinstance(value, str) else None
        except (TypeError, ValueError):
            number = None
        if number is None or number != number:
            refuse(f"{self.place}: expected a number; got {value!r}")
        if self.clamp_low:
            number = max(number, self.low)
        if self.clamp_high:
            number = min(number, self.high)
        return int(number) if self.style == "Int" else number

    def _choice(self, value: Any) -> str:
        names = self.menu_names or []
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if 0 <= value < len(names):
                return names[int(value)]
            refuse(f"{self.place}: expected a menu index of 0 to {len(names) - 1}; got {value}")
        if value not in names:
            refuse(f"{self.place}: expected one of the menu's {names}; got {value!r}")
        return str(value)

    def _operators(self, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value or ""
        items = value if isinstance(value, (list, tuple)) else [value]
        paths = []
        for item in items:
            if isinstance(item, str):
                paths.append(item)
                continue
            family = getattr(item, "family", None)
            if family is None:
                refuse(f"{self.place}: expected an operator or its path; got {item!r}")
            needed = OPERATORS[self.style]
            if needed is not None and family != needed:
                refuse(f"{self.place}: expected a {needed}; got {item.path}, a {family}")
            paths.append(item._path())
        return " ".join(paths)
