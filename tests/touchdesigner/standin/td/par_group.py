# ruff: noqa: N802
"""Parameters that share a line. ParGroup Class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import no_attribute, refuse, tdAttributeError
from .guard import Guarded
from .par import Par
from .pattern import matches

if TYPE_CHECKING:
    from .operators import OP

TOGETHER = {
    "default", "expr", "min", "max", "clampMin", "clampMax", "normMin", "normMax", "mode",
    "menuNames", "menuLabels", "menuIndex", "val",
}  # fmt: skip
"""Members that are tuples, one value a parameter."""

SHARED = {"label", "order", "page", "readOnly", "enable", "enableExpr", "help", "startSection"}
"""Members that all parameters of the group have alike."""


class ParGroup(Guarded):
    """The parameters of one line; a sequence of Par."""

    def __init__(self, owner: OP, name: str) -> None:
        self._owner, self._name = owner, name

    def _pars(self) -> list[Par]:
        slots = [s for s in self._owner._slots.values() if s.group == self._name]
        if not slots:
            refuse(f"the group {self._name} of {self._owner._path()} has been destroyed")
        return [Par(slot) for slot in slots]

    def __len__(self) -> int:
        return len(self._pars())

    def __iter__(self) -> Iterator[Par]:
        return iter(self._pars())

    def __getitem__(self, index: int) -> Par:
        return self._pars()[index]

    def __getattr__(self, name: str) -> Any:
        if name in TOGETHER:
            return tuple(getattr(par, name) for par in self._pars())
        if name in SHARED or name.startswith("is") or name == "style":
            return getattr(self._pars()[0], name)
        return no_attribute("ParGroup", name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SHARED:
            for par in self._pars():
                setattr(par, name, value)
        elif name in TOGETHER:
            pars = self._pars()
            values = list(value) if isinstance(value, (tuple, list)) else [value] * len(pars)
            if name in ("menuNames", "menuLabels") and len(pars) == 1:
                values = [value[0] if isinstance(value, tuple) else value]
            if len(values) != len(pars):
                refuse(f"{self._name}.{name}: expected {len(pars)} values; got {len(values)}")
            for par, item in zip(pars, values, strict=True):
                setattr(par, name, item)
        elif name[0] == "_":
            super().__setattr__(name, value)
        else:
            refuse(f"ParGroup.{name} cannot be set", error=tdAttributeError)

    name = property(lambda group: group._name)
    owner = property(lambda group: group._owner)
    size = property(lambda group: len(group._pars()))
    valid = property(
        lambda group: any(s.group == group._name for s in group._owner._slots.values())
    )

    def eval(self) -> tuple[Any, ...]:
        """The values of now."""
        return tuple(par.eval() for par in self._pars())

    def pars(self, pattern: str = "*") -> list[Par]:
        """The parameters whose names match."""
        return [par for par in self._pars() if matches(par.name, pattern)]

    def reset(self) -> bool:
        """Back to the defaults."""
        return True in [par.reset() for par in self._pars()]

    def destroy(self) -> None:
        """Removes the group. See Par Class, destroy."""
        self._pars()[0].destroy()

    def isSameParGroup(self, group: ParGroup) -> bool:
        """Whether both are the same group of the same operator."""
        return self._owner is group._owner and self._name == group._name
