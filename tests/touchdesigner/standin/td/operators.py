# ruff: noqa: N802, N815
"""What all operators have. OP Class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from .clock import Time
from .declaration import Declared
from .errors import no_attribute, refuse, tdError
from .finder import MOD, Ext, OPShortcut, ParentShortcut, resolve
from .guard import is_cooking_thread, refuse_thread
from .page import Page
from .par import Par
from .par_collection import ParCollection, ParGroupCollection
from .par_group import ParGroup
from .par_slot import Slot
from .pattern import matches, next_name
from .scope import evaluate
from .session import current
from .storage import Stores

if TYPE_CHECKING:
    from .component import COMP

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FAMILIES = ("COMP", "TOP", "CHOP", "DAT", "SOP", "MAT")
FLAGS = (
    "activeViewer", "allowCooking", "bypass", "cloneImmune", "current", "display", "expose",
    "lock", "selected", "python", "render", "showCustomOnly", "showDocked", "viewer",
)  # fmt: skip


class OP(Stores):
    """An operator."""

    OPType: ClassVar[str] = "OP"
    family: ClassVar[str] = ""
    _declared: ClassVar[tuple[Declared, ...]] = ()
    _declared_2025: ClassVar[tuple[Declared, ...]] = ()
    _may_cook_alone: ClassVar[bool] = False
    _docks_callbacks: ClassVar[str] = ""
    """Text of the callbacks DAT that is docked to a new operator; empty for none."""

    def __init__(self, name: str, parent: COMP | None) -> None:
        self._name, self._parent, self._alive = name, parent, True
        self._id = current().new_id()
        self._children: dict[str, OP] = {}
        self._extensions: Any = None
        self._wires: dict[int, OP] = {}
        self._storage: dict[str, Any] = {}
        self._script_errors: list[str] = []
        self._pages: list[Page] = []
        self._par_generation = 0
        self._tags: set[str] = set()
        self._flags = dict.fromkeys(FLAGS, False)
        self._look: dict[str, Any] = {
            "nodeX": 0, "nodeY": 0, "nodeWidth": 130, "nodeHeight": 90, "comment": "",
            "color": (0.545, 0.545, 0.545),
        }  # fmt: skip
        self._dock: OP | None = None
        self._start_cooking_state()
        counts: dict[str, int] = {}
        self._slots: dict[str, Slot] = {}
        newer = self._declared_2025 if current().build >= 2025 else ()
        for declared in (*self._declared, *newer):
            index = counts.get(declared.group, 0)
            counts[declared.group] = index + 1
            self._slots[declared.name] = Slot.builtin(self, declared, index)

    def __getattribute__(self, name: str) -> Any:
        if not is_cooking_thread() and name[:2] != "__":
            refuse_thread(self, name)
        value = object.__getattribute__(self, name)
        if name[0] != "_" and name != "valid" and not object.__getattribute__(self, "_alive"):
            refuse(f"the operator {self._name} has been destroyed")
        return value

    def __getattr__(self, name: str) -> Any:
        return no_attribute(type(self).__name__, name)

    def __repr__(self) -> str:
        return f"type:{self.OPType} path:{self._path()}"

    # --- identity

    def _path(self) -> str:
        if self._parent is None:
            return "/"
        above = self._parent._path()
        return f"{above.rstrip('/')}/{self._name}"

    def _all(self) -> Iterator[OP]:
        """This operator and everything inside it."""
        yield self
        for child in list(self._children.values()):
            yield from child._all()

    def _network_root(self) -> OP:
        return current().root

    @property
    def valid(self) -> bool:
        """Whether it still exists."""
        return self._alive

    @property
    def name(self) -> str:
        """Its name; setting renames it."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        check_name(name)
        if self._parent is None:
            refuse("the root cannot be renamed")
        siblings = self._parent._children
        del siblings[self._name]
        self._name = next_name(name, siblings)
        siblings[self._name] = self
        current().structure += 1

    path = property(lambda op: op._path())
    id = property(lambda op: op._id)
    base = property(lambda op: op._name.rstrip("0123456789"))

    @property
    def digits(self) -> int | None:
        """The last number in the name."""
        numbers = re.findall(r"\d+", self._name)
        return int(numbers[-1]) if numbers else None

    type = property(lambda op: op.OPType[: -len(op.family)])
    subType = property(lambda op: "")
    isBase = property(lambda op: op.OPType == "baseCOMP")
    isFilter = property(lambda op: op._max_inputs > 0)

    # --- finding

    op = property(lambda op: OPShortcut(lambda: op, inside=True))
    opex = property(lambda op: OPShortcut(lambda: op, inside=True, must=True))
    parent = property(lambda op: ParentShortcut(lambda: op))
    ext = property(lambda op: Ext(lambda: op))
    mod = property(lambda op: MOD(lambda: op))
    time = property(lambda op: Time())

    def ops(self, *patterns: str, includeUtility: bool = False) -> list[OP]:  # noqa: N803
        """Operators inside that match."""
        return [found for text in patterns for found in resolve(text, self, inside=True)]

    def _shortcut(self, parameter: str) -> str:
        slot = self._slots.get(parameter)
        return "" if slot is None else str(slot.val)

    def _resolve_par(self, value: str) -> list[OP]:
        return resolve(value or "", self, inside=False)

    def relativePath(self, other: OP) -> str:
        """Path from here to another operator."""
        if other._parent is self._parent:
            return other._name
        if other is self._parent:
            return ".."
        return other._path()

    def evalExpression(self, text: str) -> Any:
        """The value of an expression with this operator as me."""
        return evaluate(text, self)

    # --- parameters

    par = property(lambda op: ParCollection(op))
    parGroup = property(lambda op: ParGroupCollection(op))
    customPars = property(lambda op: [Par(s) for p in op._pages for s in p._slots()])
    builtinPars = property(lambda op: [Par(s) for s in op._slots.values() if not s.custom])
    customPages = property(lambda op: list(op._pages))
    customParGroups = property(lambda op: [g for page in op._pages for g in page.parGroups])

    def pars(self, pattern: str = "*") -> list[Par]:
        """Parameters whose names match."""
        return [Par(s) for s in self._slots.values() if matches(s.name, pattern)]

    def _group(self, name: str) -> ParGroup:
        return ParGroup(self, name)

    def _drop_group(self, group: str) -> None:
        for slot in [s for s in self._slots.values() if s.group == group]:
            slot.alive = False
            del self._slots[slot.name]

    def _page_named(self, name: str) -> Page:
        for page in self._pages:
            if page._name == name:
                return page
        return refuse(f"{self._path()} has no page {name!r}")

    def _always_cooks(self) -> bool:
        """Whether it cooks this frame with nobody looking."""
        return False

    def _content(self) -> Any:
        """What a file keeps of the data; plain values."""

    def _take_content(self, content: Any) -> None:
        """Takes what a file kept."""

    def _pulsed(self, slot: Slot) -> None:
        """A pulse parameter was pressed."""
        current().pulses.append(slot)

    def resetPars(self) -> bool:
        """All parameters back to their defaults."""
        return True in [Par(slot).reset() for slot in self._slots.values()]

    # --- appearance

    @property
    def tags(self) -> set[str]:
        """The tags, a set."""
        return self._tags

    @tags.setter
    def tags(self, tags: set[str]) -> None:
        self._tags = set(tags)

    @property
    def dock(self) -> OP | None:
        """The operator that this is docked to."""
        return self._dock

    @dock.setter
    def dock(self, operator: OP | None) -> None:
        self._dock = operator

    @property
    def docked(self) -> list[OP]:
        """The operators docked to this one."""
        beside = self._parent._children.values() if self._parent is not None else ()
        return [operator for operator in beside if operator._dock is self]

    def openViewer(self, unique: bool = False, borders: bool = True) -> None:
        """Opens a window; the stand-in only writes it to the Textport."""
        current().textport.write(f"viewer of {self._path()}\n")

    def closeViewer(self, topMost: bool = False) -> None:  # noqa: N803
        """Closes the windows."""

    def openParameters(self) -> None:
        """Opens a window of parameters."""

    def resetNodeSize(self) -> None:
        """The usual size in the network."""
        self._look.update(nodeWidth=130, nodeHeight=90)

    # --- the end

    children = property(lambda op: list(op._children.values()))
    numChildren = property(lambda op: len(op._children))
    numChildrenRecursive = property(lambda op: sum(1 for _ in op._all()) - 1)

    def destroy(self) -> None:
        """Removes the operator and what is inside it."""
        if self._parent is None:
            refuse("the root cannot be destroyed")
        for operator in list(self._all()):
            if operator._extensions is not None:
                operator._extensions.destroy()
        for other in list(current().root._all()):
            for slot in [s for s, source in other._wires.items() if source in self._all()]:
                other._unwire(slot)
        for docked in self.docked:
            docked.destroy()
        del self._parent._children[self._name]
        current().structure += 1
        for operator in list(self._all()):
            operator._alive = False


def check_name(name: str) -> None:
    """Refuses characters that operator names cannot have."""
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        refuse(f"{name!r} is no operator name: letters, digits and underscores only")


def _flag(name: str) -> property:
    def put(op: OP, value: bool) -> None:
        if not isinstance(value, (bool, int)):
            refuse(f"{op._path()}.{name}: expected a bool; got {value!r}")
        op._flags[name] = bool(value)
        op._touch()

    return property(lambda op: op._flags[name], put)


def _look(name: str, kinds: tuple[type, ...], length: int | None = None) -> property:
    def put(op: OP, value: Any) -> None:
        wrong = not isinstance(value, kinds) or isinstance(value, bool)
        if wrong or (length is not None and len(value) != length):
            refuse(f"{op._path()}.{name}: got {value!r}")
        op._look[name] = value

    return property(lambda op: op._look[name], put)


for _name in FLAGS:
    setattr(OP, _name, _flag(_name))
for _name in ("nodeX", "nodeY", "nodeWidth", "nodeHeight"):
    setattr(OP, _name, _look(_name, (int, float)))
OP.comment = _look("comment", (str,))
OP.color = _look("color", (tuple, list), 3)
for _family in FAMILIES:
    setattr(OP, f"is{_family}", property(lambda op, family=_family: op.family == family))

__all__ = ["OP", "check_name", "tdError"]
