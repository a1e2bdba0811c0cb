"""Operators by path, pattern, id or shortcut; parents; extensions; modules.

Network Path: a plain name is an operator of the same network, ./ is inside, .. is the parent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .errors import no_attribute, refuse
from .guard import Guarded
from .pattern import is_pattern, matches
from .session import current

if TYPE_CHECKING:
    from .operators import OP


def resolve(text: str, node: OP, *, inside: bool) -> list[OP]:
    """The operators that a path or several, parted by spaces, stand for.

    inside: a plain name is a child of node; otherwise an operator beside it.
    """
    found: list[OP] = []
    for path in text.split():
        for operator in _along(path, node, inside=inside):
            if operator not in found:
                found.append(operator)
    return found


def _along(path: str, node: OP, *, inside: bool) -> list[OP]:
    root = current().root
    parts = [part for part in path.split("/") if part]
    if path.startswith("/"):
        start: OP | None = root
    elif (parts and parts[0] in (".", "..")) or inside:
        start = node
    else:
        start = node._parent or root
    places = [] if start is None else [start]
    for part in parts:
        if part == ".":
            continue
        if part == "..":
            places = [p._parent for p in places if p._parent is not None]
        elif is_pattern(part):
            places = [c for p in places for c in p._children.values() if matches(c._name, part)]
        else:
            places = [p._children[part] for p in places if part in p._children]
    return places


class OPShortcut(Guarded):
    """op(...), op.Shortcut. OP Class, op; td Module, op."""

    def __init__(self, node: Callable[[], OP], *, inside: bool, must: bool = False) -> None:
        self._node, self._inside, self._must = node, inside, must

    def __call__(self, *patterns: str | int | OP, includeUtility: bool = False) -> OP | None:  # noqa: N803
        found = self._find(patterns)
        if not found and self._must:
            refuse(f"no operator is found by {patterns} from {self._node()._path()}")
        return found[0] if found else None

    def _find(self, patterns: tuple[Any, ...]) -> list[OP]:
        found: list[OP] = []
        for pattern in patterns:
            if isinstance(pattern, int):
                found += [o for o in current().root._all() if o._id == pattern]
            elif isinstance(pattern, str):
                found += resolve(pattern, self._node(), inside=self._inside)
            elif hasattr(pattern, "_children"):
                found.append(pattern)
            else:
                refuse(f"op(): expected a path, a pattern or an id; got {pattern!r}")
        return found

    def __getattr__(self, name: str) -> OP:
        for operator in current().root._all():
            if operator._shortcut("opshortcut") == name:
                return operator
        return no_attribute("OPShortcut", name)

    def __iter__(self) -> Iterator[OP]:
        return iter([o for o in current().root._all() if o._shortcut("opshortcut")])


class ParentShortcut(Guarded):
    """parent(), parent(2), parent.Shortcut. OP Class, parent."""

    def __init__(self, node: Callable[[], OP]) -> None:
        self._node = node

    def __call__(self, levels: int = 1) -> OP | None:
        place: OP | None = self._node()
        for _ in range(levels):
            place = place._parent if place is not None else None
        return place

    def __getattr__(self, name: str) -> OP:
        place = self._node()._parent
        while place is not None:
            if place._shortcut("parentshortcut") == name:
                return place
            place = place._parent
        return no_attribute("ParentShortcut", name)


class Ext(Guarded):
    """ext.Name: the extension of that name of the nearest component. Extensions, ext member."""

    def __init__(self, node: Callable[[], OP]) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        place: OP | None = self._node()
        while place is not None:
            if place._extensions is not None:
                for found_name, extension in place._extensions.named():
                    if found_name == name:
                        return extension
            place = place._parent
        return no_attribute("Ext", name)


class MOD(Guarded):
    """mod.name, mod('path'): DATs as modules. MOD Class."""

    def __init__(self, node: Callable[[], OP]) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        dat = find_module(self._node(), name)
        if dat is None:
            return no_attribute("MOD", name)
        return dat.module

    def __call__(self, path: str) -> Any:
        node = self._node()
        found = resolve(path, node, inside=node._children is not None and node.isCOMP)
        dats = [dat for dat in found if dat.isDAT]
        return dats[0].module if dats else None


def find_module(node: OP, name: str) -> Any:
    """The DAT of a name on the search path. MOD Class, Search Path."""
    here = node if node.isCOMP else node._parent
    beside = here._children.get(name) if here is not None else None
    if beside is not None and beside.isDAT:
        return beside
    place = here
    while place is not None:
        found = [dat for dat in resolve(f"local/modules/{name}", place, inside=True) if dat.isDAT]
        if found:
            return found[0]
        place = place._parent
    return None
