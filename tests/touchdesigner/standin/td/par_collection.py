"""An operator's parameters by name. ParCollection Class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import no_attribute, refuse, tdAttributeError
from .guard import Guarded
from .par import Par
from .par_group import ParGroup

if TYPE_CHECKING:
    from .operators import OP


class ParCollection(Guarded):
    """op.par: an attribute for each parameter; by index None when there is none."""

    def __init__(self, owner: OP) -> None:
        self._owner = owner

    owner = property(lambda pars: pars._owner)

    def __getattr__(self, name: str) -> Par:
        slot = self._owner._slots.get(name)
        if slot is None:
            return no_attribute("ParCollection", name)
        return Par(slot)

    def __getitem__(self, name: str) -> Par | None:
        slot = self._owner._slots.get(name)
        return None if slot is None else Par(slot)

    def __setattr__(self, name: str, value: Any) -> None:
        if name[0] == "_":
            super().__setattr__(name, value)
            return
        self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        slot = self._owner._slots.get(name)
        if slot is None:
            refuse(
                f"{self._owner._path()} ({self._owner.OPType}) has no parameter {name!r}",
                error=tdAttributeError,
            )
        Par(slot).val = value

    def __iter__(self) -> Iterator[Par]:
        return (Par(slot) for slot in list(self._owner._slots.values()))


class ParGroupCollection(Guarded):
    """op.parGroup: an attribute for each group."""

    def __init__(self, owner: OP) -> None:
        self._owner = owner

    owner = property(lambda groups: groups._owner)

    def __getattr__(self, name: str) -> ParGroup:
        return self[name] or no_attribute("ParGroupCollection", name)

    def __getitem__(self, name: str) -> ParGroup | None:
        there = any(slot.group == name for slot in self._owner._slots.values())
        return ParGroup(self._owner, name) if there else None

    def __setattr__(self, name: str, value: Any) -> None:
        if name[0] == "_":
            super().__setattr__(name, value)
        else:
            getattr(self, name).val = value
