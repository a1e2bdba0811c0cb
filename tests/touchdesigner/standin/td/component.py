# ruff: noqa: N802, N803, N815
"""Components. COMP Class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import tox
from .errors import no_attribute, refuse
from .extensions import Extensions
from .operators import OP, check_name
from .page import Page
from .par_slot import Slot
from .pattern import matches, next_name
from .session import current


class COMP(OP):
    """Has a network inside."""

    family = "COMP"
    _types: dict[str, type[OP]] = {}  # noqa: RUF012  every operator type by its name

    def __init__(self, name: str, parent: COMP | None) -> None:
        super().__init__(name, parent)
        self._extensions = Extensions(self)

    # --- making

    def create(
        self, opType: str | type[OP], name: str | None = None, initialize: bool = True
    ) -> OP:
        """A new operator inside. The type is a class of td or its name."""
        kind = self._types.get(opType) if isinstance(opType, str) else opType
        if not isinstance(kind, type) or kind.__name__ not in self._types:
            refuse(f"{opType!r} is no operator type that the stand-in has")
        wanted = name if name is not None else f"{kind.OPType[: -len(kind.family)]}1"
        check_name(wanted)
        operator = self._make(kind, wanted)
        if initialize and kind._docks_callbacks:
            self._dock_callbacks(operator)
        return operator

    def _make(self, kind: type[OP], wanted: str) -> OP:
        with current().inside():
            operator = kind(next_name(wanted, self._children), self)
            self._children[operator._name] = operator
            current().structure += 1
        return operator

    def _dock_callbacks(self, operator: OP) -> None:
        """Script Operators and others come with a docked DAT of callbacks. Script CHOP."""
        dat: Any = self._make(self._types["textDAT"], f"{operator._name}_callbacks")
        dat.text = operator._docks_callbacks
        dat._dock = operator
        operator.par.callbacks = dat._name

    def copy(self, OP: OP, name: str | None = None, includeDocked: bool = True) -> OP:
        """A copy of an operator, inside this one; wires are not copied."""
        if not hasattr(OP, "_children"):
            refuse(f"copy(): expected an operator; got {OP!r}")
        return tox.restore(tox.describe(OP), self, name=name or OP._name)

    def copyOPs(self, listOfOPs: Sequence[OP]) -> list[OP]:
        """Copies of several; wires between them are kept."""
        copies = {operator: self.copy(operator) for operator in listOfOPs}
        for operator, made in copies.items():
            for slot, source in operator._wires.items():
                if source in copies:
                    made._wires[slot] = copies[source]
        return list(copies.values())

    def findChildren(
        self, type: type[OP] | None = None, name: str | None = None, path: str | None = None,  # noqa: A002
        depth: int | None = None, maxDepth: int | None = None, text: str | None = None,
        comment: str | None = None, tags: Sequence[str] = (), allTags: bool = False,
        parName: str | None = None, includeUtility: bool = False,
        key: Callable[[OP], bool] | None = None,
    ) -> list[OP]:  # fmt: skip
        """Operators inside, at any depth, that match all criteria."""

        def fits(level: int, operator: OP) -> bool:
            tests = (
                type is None or isinstance(operator, type),
                name is None or matches(operator._name, name),
                path is None or matches(operator._path(), path),
                depth is None or level == depth,
                maxDepth is None or level <= maxDepth,
                text is None or (operator.isDAT and matches(operator.text, text)),
                comment is None or matches(operator.comment, comment),
                not tags or _tagged(operator, tags, every=allTags),
                parName is None or bool(operator.pars(parName)),
                key is None or key(operator),
            )
            return all(tests)

        if isinstance(type, str):
            refuse("findChildren(): type is a class, not a string")
        return [operator for level, operator in _levels(self, 1) if fits(level, operator)]

    # --- files

    def save(
        self, filepath: str | None = None, createFolders: bool = False, password: str | None = None
    ) -> str:
        """Writes the component into a .tox; the path."""
        path = Path(filepath or f"{self._name}.tox")
        if not path.is_absolute():
            path = Path(current().folder) / path
        if password is not None:
            refuse("the stand-in saves no .tox with a password")
        if createFolders:
            path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.is_dir():
            refuse(f"{path.parent} does not exist (createFolders makes it)")
        with current().inside():
            path.write_bytes(tox.pack(self))
        return str(path)

    def saveByteArray(self, password: str | None = None) -> bytearray:
        """What a .tox holds."""
        return bytearray(tox.pack(self))

    def loadTox(
        self,
        filepath: str,
        unwired: bool = False,
        pattern: str | None = None,
        password: str | None = None,
    ) -> OP:
        """Loads a component into this one."""
        path = Path(filepath)
        if not path.is_file():
            refuse(f"{filepath} does not exist")
        return self.loadByteArray(path.read_bytes(), unwired=unwired)

    def loadByteArray(
        self,
        byteArray: bytes | bytearray,
        unwired: bool = False,
        pattern: str | None = None,
        password: str | None = None,
    ) -> OP:
        """Loads a component from the bytes of a .tox."""
        return tox.restore(tox.unpack(bytes(byteArray)), self, name=None)

    def saveExternalTox(self, recurse: bool = False, password: str | None = None) -> int:
        """Saves components that have an external .tox; how many."""
        inside = [self, *(self._all() if recurse else ())]
        external = {c for c in inside if c.isCOMP and c._shortcut("externaltox")}
        for component in external:
            component.save(component._shortcut("externaltox"))
        return len(external)

    # --- custom parameters

    def appendCustomPage(self, name: str) -> Page:
        """Adds a page."""
        return append_page(self, name)

    def destroyCustomPars(self) -> int:
        """Removes all custom parameters; how many."""
        return destroy_custom_pars(self)

    def sortCustomPages(self, *pages: str) -> None:
        """Brings the pages into this order."""
        sort_pages(self, pages)

    # --- extensions

    extensions = property(lambda comp: list(comp._extensions.objects()))
    extensionsReady = property(lambda comp: comp not in current().compiling)

    def initializeExtensions(self, index: int | None = None) -> Any:
        """Makes the extensions anew."""
        return self._extensions.initialize()

    def _pulsed(self, slot: Slot) -> None:
        if slot.name == "reinitextensions":
            self._extensions.initialize()
        else:
            super()._pulsed(slot)

    def __getattr__(self, name: str) -> Any:
        if name[0] != "_":
            there, extension = self._extensions.promoted(name)
            if there:
                return getattr(extension, name)
        return no_attribute(type(self).__name__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:1].isupper() and self._extensions is not None:
            there, extension = self._extensions.promoted(name)
            if there:
                setattr(extension, name, value)
                return
        super().__setattr__(name, value)


def _levels(place: OP, level: int) -> Iterator[tuple[int, OP]]:
    for child in list(place._children.values()):
        yield level, child
        yield from _levels(child, level + 1)


def _tagged(operator: OP, patterns: Sequence[str], *, every: bool) -> bool:
    hits = [any(matches(tag, pattern) for tag in operator._tags) for pattern in patterns]
    return all(hits) if every else any(hits)


def append_page(operator: OP, name: str) -> Page:
    """Adds a page of custom parameters to an operator that may have them."""
    if any(page._name == name for page in operator._pages):
        refuse(f"{operator._path()} has a page {name!r} already")
    page = Page(operator, name)
    operator._pages.append(page)
    return page


def destroy_custom_pars(operator: OP) -> int:
    """Removes all custom parameters; how many there were."""
    names = {slot.group for slot in operator._slots.values() if slot.custom}
    count = sum(slot.custom for slot in operator._slots.values())
    for name in names:
        operator._drop_group(name)
    operator._par_generation += 1
    return count


def sort_pages(operator: OP, names: Sequence[str]) -> None:
    """Brings pages into an order."""
    pages = [operator._page_named(name) for name in names]
    operator._pages = pages + [page for page in operator._pages if page not in pages]
