# ruff: noqa: N802, N815
"""A parameter. Par Class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .casting import Castable
from .declaration import NUMBERS, OPERATORS, STRINGS
from .errors import refuse, tdAttributeError
from .par_mode import ParMode
from .par_slot import Slot
from .session import current

if TYPE_CHECKING:
    from .operators import OP
    from .page import Page
    from .par_group import ParGroup


def _custom_only(attribute: str) -> property:
    """A member that can be set on custom parameters only."""

    def get(par: Par) -> Any:
        return getattr(par._live(), attribute)

    def put(par: Par, value: Any) -> None:
        slot = par._live()
        if not slot.custom:
            refuse(f"{slot.place}: this can only be set on custom parameters (Par Class)")
        setattr(slot, attribute, value)

    return property(get, put)


def _flag(style: str) -> property:
    return property(lambda par: par._live().style == style)


class Par(Castable):
    """A view of one parameter; views are made anew for every access."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._generation = slot.owner._par_generation

    def _live(self) -> Slot:
        slot = self._slot
        if not slot.alive:
            refuse(f"{slot.name} of {slot.owner._path()} has been destroyed")
        if self._generation != slot.owner._par_generation:
            refuse(
                f"a parameter of {slot.owner._path()} was destroyed since {slot.name} was "
                "fetched: fetch it anew (Par Class, destroy)"
            )
        return slot

    def _cast(self) -> Any:
        return self.eval()

    def __repr__(self) -> str:
        return f"type:Par name:{self._slot.name} owner:{self._slot.owner._path()}"

    # --- value

    @property
    def val(self) -> Any:
        """The constant value."""
        return self._live().val

    @val.setter
    def val(self, value: Any) -> None:
        slot = self._live()
        if slot.mode is ParMode.BIND:
            self._master().val = value
            return
        accepted = slot.accept(value)
        self._set_mode(ParMode.CONSTANT)
        slot.set_by_script = True
        if accepted != slot.val or type(accepted) is not type(slot.val):
            slot.val = accepted
            slot.changed()

    @property
    def expr(self) -> str:
        """The expression."""
        return self._live().expr

    @expr.setter
    def expr(self, text: str) -> None:
        slot = self._live()
        if not isinstance(text, str):
            refuse(f"{slot.place}: expected an expression as a string; got {text!r}")
        slot.expr = text
        self._set_mode(ParMode.EXPRESSION)
        slot.changed()

    @property
    def bindExpr(self) -> str:
        """The expression of the bind master."""
        return self._live().bind_expr

    @bindExpr.setter
    def bindExpr(self, text: str) -> None:
        self._live().bind_expr = text
        if text:
            self._set_mode(ParMode.BIND)

    @property
    def mode(self) -> ParMode:
        """How the value comes about."""
        return self._live().mode

    @mode.setter
    def mode(self, mode: ParMode) -> None:
        if not isinstance(mode, ParMode):
            refuse(f"{self._slot.place}: expected a ParMode; got {mode!r}")
        self._set_mode(mode)

    def _set_mode(self, mode: ParMode) -> None:
        slot = self._live()
        if mode is not slot.mode:
            slot.prev_mode, slot.mode = slot.mode, mode
            slot.changed()

    prevMode = property(lambda par: par._live().prev_mode)

    def _master(self) -> Par:
        slot = self._live()
        master = slot.owner.evalExpression(slot.bind_expr)
        if not isinstance(master, Par):
            refuse(f"{slot.place}: expected a parameter to bind to; got {master!r}")
        return master

    def eval(self) -> Any:
        """The value of now."""
        slot = self._live()
        cooking = current().cooking
        if cooking:
            cooking[-1]._depends_on_par(slot)
        if slot.mode is ParMode.BIND:
            return self._master().eval()
        value = slot.val
        if slot.mode is ParMode.EXPRESSION:
            value = slot.owner.evalExpression(slot.expr)
            if slot.style not in OPERATORS:
                return slot.accept(value)
            value = slot.accept(value)
        if slot.style in OPERATORS:
            found = slot.owner._resolve_par(value)
            return found[0] if len(found) == 1 else (found or None)
        return value

    def evalExpression(self) -> Any:
        """What the expression says."""
        return self._live().owner.evalExpression(self._slot.expr)

    def evalOPs(self) -> list[OP]:
        """The operators that the value names."""
        slot = self._live()
        return slot.owner._resolve_par(slot.val if slot.mode is ParMode.CONSTANT else self.eval())

    def evalNorm(self) -> float:
        """The value as a slider's place, 0 to 1."""
        slot = self._live()
        return (float(self.eval()) - slot.norm_low) / (slot.norm_high - slot.norm_low)

    def reset(self) -> bool:
        """Back to the default."""
        slot = self._live()
        before = slot.val, slot.mode
        if slot.style not in ("Pulse", "Momentary"):
            self.val = slot.default
        return before != (slot.val, slot.mode)

    def pulse(self, value: Any = 1, frames: float = 0, seconds: float = 0) -> None:
        """Presses a pulse parameter. Of others only the pulse without duration is here."""
        slot = self._live()
        if slot.style in ("Pulse", "Momentary"):
            slot.owner._pulsed(slot)
            return
        if frames or seconds:
            refuse(f"{slot.place}: the stand-in has no pulses with a duration")
        before = slot.val
        self.val = value
        slot.owner.cook()
        self.val = before

    def destroy(self) -> None:
        """Removes a custom parameter and its group; Par objects fetched before are invalid."""
        slot = self._live()
        if not slot.custom:
            refuse(f"{slot.place}: only custom parameters can be destroyed (Par Class)")
        slot.owner._drop_group(slot.group)
        slot.owner._par_generation += 1

    def isPar(self, par: Par) -> bool:
        """Whether both are the same parameter of the same operator."""
        return self._slot is par._slot

    def copy(self, par: Par) -> None:
        """Takes value, expression and mode of another parameter."""
        slot, other = self._live(), par._live()
        slot.val, slot.expr, slot.mode = slot.accept(other.val), other.expr, other.mode
        slot.changed()

    # --- what it is

    valid = property(
        lambda par: par._slot.alive and par._generation == par._slot.owner._par_generation
    )
    owner = property(lambda par: par._live().owner)
    style = property(lambda par: par._live().style)
    isCustom = property(lambda par: par._live().custom)
    isPulse = _flag("Pulse")
    isMomentary = _flag("Momentary")
    isFloat = _flag("Float")
    isInt = _flag("Int")
    isToggle = _flag("Toggle")
    isPython = _flag("Python")
    isMenu = property(lambda par: par._live().style in ("Menu", "StrMenu"))
    isNumber = property(lambda par: par._live().style in NUMBERS)
    isOP = property(lambda par: par._live().style in OPERATORS)
    isString = property(lambda par: par._live().style in STRINGS)
    isDefault = property(
        lambda par: par._live().val == par._slot.default and par._slot.mode is ParMode.CONSTANT
    )
    vecIndex = property(lambda par: par._live().vec_index)

    @property
    def index(self) -> int:
        """Place among the operator's parameters."""
        slot = self._live()
        return list(slot.owner._slots.values()).index(slot)

    @property
    def parGroup(self) -> ParGroup:
        """The group that it is part of."""
        return self._live().owner._group(self._slot.group)

    @property
    def page(self) -> Page | None:
        """The page that it is on."""
        return self._live().page

    @page.setter
    def page(self, page: Page | str) -> None:
        slot = self._live()
        if not slot.custom:
            refuse(f"{slot.place}: this can only be set on custom parameters (Par Class)")
        slot.page = slot.owner._page_named(page if isinstance(page, str) else page.name)

    @property
    def name(self) -> str:
        """Its name; renaming is not part of the stand-in."""
        return self._live().name

    label = _custom_only("label")
    order = _custom_only("order")
    startSection = _custom_only("start_section")
    default = _custom_only("default")
    defaultExpr = _custom_only("default_expr")
    defaultMode = _custom_only("default_mode")
    normMin = _custom_only("norm_low")
    normMax = _custom_only("norm_high")
    min = _custom_only("low")
    max = _custom_only("high")
    clampMin = _custom_only("clamp_low")
    clampMax = _custom_only("clamp_high")
    enable = _custom_only("enable")
    password = _custom_only("password")
    menuSource = _custom_only("menu_source")
    help = _custom_only("help")

    @property
    def enableExpr(self) -> str:
        """Expression of the enable state."""
        return self._live().enable_expr

    @enableExpr.setter
    def enableExpr(self, text: str) -> None:
        self._live().enable_expr = text

    @property
    def readOnly(self) -> bool:
        """Whether people cannot change it; scripts can."""
        return self._live().read_only

    @readOnly.setter
    def readOnly(self, value: bool) -> None:
        self._live().read_only = bool(value)

    @property
    def menuNames(self) -> list[str] | None:
        """The menu's choices; None of a parameter without a menu."""
        names = self._live().menu_names
        return None if names is None else list(names)

    @menuNames.setter
    def menuNames(self, names: list[str]) -> None:
        self._menu(names).menu_names = list(names)

    @property
    def menuLabels(self) -> list[str] | None:
        """What the menu shows."""
        labels = self._live().menu_labels
        return None if labels is None else list(labels)

    @menuLabels.setter
    def menuLabels(self, labels: list[str]) -> None:
        self._menu(labels).menu_labels = list(labels)

    def _menu(self, items: Any) -> Slot:
        slot = self._live()
        if not slot.custom or slot.menu_names is None:
            refuse(f"{slot.place}: menus can be set on custom menu parameters only (Par Class)")
        if isinstance(items, str) or not all(isinstance(item, str) for item in items):
            refuse(f"{slot.place}: expected a list of strings; got {items!r}")
        return slot

    @property
    def menuIndex(self) -> int:
        """Index of the value in the menu."""
        slot = self._live()
        names = slot.menu_names or []
        value = self.eval()
        if value not in names:
            refuse(f"{slot.place}: {value!r} is not in the menu {names}", error=tdAttributeError)
        return names.index(value)

    @menuIndex.setter
    def menuIndex(self, index: int) -> None:
        names = self._live().menu_names or []
        if not 0 <= index < len(names):
            refuse(f"{self._slot.place}: expected an index of 0 to {len(names) - 1}; got {index}")
        self.val = names[index]
