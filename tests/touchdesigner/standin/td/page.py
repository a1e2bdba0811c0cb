# ruff: noqa: N802
"""Pages of custom parameters. Page Class, Custom Parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .errors import refuse
from .guard import Guarded
from .par import Par
from .par_group import ParGroup
from .par_slot import Slot

if TYPE_CHECKING:
    from .operators import OP

NAME = re.compile(r"[A-Z][a-z0-9]*")
LARGEST = 4
DEFAULTS: dict[str, Any] = {
    "Float": 0.0,
    "Int": 0,
    "Toggle": False,
    "Pulse": None,
    "Momentary": None,
}


class Page(Guarded):
    """One page; a sequence of its parameters."""

    def __init__(self, owner: OP, name: str) -> None:
        self._owner, self._name = owner, name

    def _slots(self) -> list[Slot]:
        slots = (s for s in self._owner._slots.values() if s.page is self)
        return sorted(slots, key=lambda slot: slot.order)

    def __len__(self) -> int:
        return len(self._slots())

    def __iter__(self) -> Iterator[Par]:
        return (Par(slot) for slot in self._slots())

    def __getitem__(self, index: int) -> Par:
        return Par(self._slots()[index])

    @property
    def name(self) -> str:
        """Title of the page."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    owner = property(lambda page: page._owner)
    pars = property(lambda page: list(page))
    isCustom = property(lambda page: True)  # noqa: N815
    index = property(lambda page: page._owner._pages.index(page))

    @property
    def parGroups(self) -> list[ParGroup]:
        """The lines of the page."""
        groups = dict.fromkeys(slot.group for slot in self._slots())
        return [ParGroup(self._owner, name) for name in groups]

    def destroy(self) -> None:
        """Removes the page and its parameters."""
        for group in {slot.group for slot in self._slots()}:
            self._owner._drop_group(group)
        self._owner._par_generation += 1
        self._owner._pages.remove(self)

    def sort(self, *names: str) -> None:
        """Brings groups into this order."""
        for order, name in enumerate(names):
            slots = [s for s in self._slots() if name in (s.name, s.group)]
            if not slots:
                refuse(f"page {self._name}: no parameter {name!r} to sort")
            for slot in slots:
                slot.order = order

    def resetPars(self) -> bool:
        """All back to their defaults."""
        return True in [par.reset() for par in self]

    def _append(
        self, style: str, name: str, label: str | None, order: float | None, replace: bool,
        suffixes: tuple[str, ...] = ("",),
    ) -> ParGroup:  # fmt: skip
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            refuse(
                f"{self._owner._path()}: {name!r} is no name for a custom parameter: first letter "
                "upper case, then lower case letters and digits (Custom Parameters)"
            )
        owner = self._owner
        if any(slot.group == name for slot in owner._slots.values()):
            if not replace:
                refuse(f"{owner._path()} has a parameter {name} already (replace=False)")
            owner._drop_group(name)
        names = [name + suffix for suffix in suffixes]
        for taken in names:
            if taken in owner._slots:
                refuse(f"{owner._path()}: {taken} is a parameter of {owner._slots[taken].group}")
        last = max((slot.order for slot in self._slots()), default=-1.0)
        for index, full_name in enumerate(names):
            default = DEFAULTS.get(style, "")
            owner._slots[full_name] = Slot(
                owner=owner, name=full_name, group=name, style=style, default=default,
                val=default, label=name if label is None else label, vec_index=index, custom=True,
                page=self, order=last + 1 if order is None else order,
                menu_names=[] if style in ("Menu", "StrMenu") else None,
                menu_labels=[] if style in ("Menu", "StrMenu") else None,
            )  # fmt: skip
        return ParGroup(owner, name)


def _single(style: str) -> Callable[..., ParGroup]:
    def append(
        page: Page, name: str, label: str | None = None, order: float | None = None,
        replace: bool = True,
    ) -> ParGroup:  # fmt: skip
        return page._append(style, name, label, order, replace)

    append.__doc__ = f"Adds a {style} parameter."
    return append


def _sized(style: str) -> Callable[..., ParGroup]:
    def append(
        page: Page, name: str, label: str | None = None, size: int = 1,
        order: float | None = None, replace: bool = True,
    ) -> ParGroup:  # fmt: skip
        if not 1 <= size <= LARGEST:
            refuse(f"{name}: expected a size of 1 to {LARGEST}; got {size} (Custom Parameters)")
        suffixes = ("",) if size == 1 else tuple(str(number) for number in range(1, size + 1))
        return page._append(style, name, label, order, replace, suffixes)

    append.__doc__ = f"Adds a {style} parameter; several have 1, 2 ... after the name."
    return append


def _lettered(letters: str) -> Callable[..., ParGroup]:
    def append(
        page: Page, name: str, label: str | None = None, order: float | None = None,
        replace: bool = True,
    ) -> ParGroup:  # fmt: skip
        return page._append("Float", name, label, order, replace, tuple(letters))

    append.__doc__ = f"Adds Float parameters with {letters} after the name."
    return append


for _style in (
    "OP", "COMP", "TOP", "CHOP", "DAT", "Str", "StrMenu", "Menu", "File", "FileSave", "Folder",
    "Pulse", "Momentary", "Toggle", "Python", "Header",
):  # fmt: skip
    setattr(Page, f"append{_style}", _single(_style))
for _style in ("Int", "Float"):
    setattr(Page, f"append{_style}", _sized(_style))
for _letters in ("XY", "XYZ", "XYZW", "WH", "UV", "UVW", "RGB", "RGBA"):
    setattr(Page, f"append{_letters}", _lettered(_letters.lower()))
