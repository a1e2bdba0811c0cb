"""Files of components, in a format of the stand-in's own: everything that TouchDesigner keeps."""

from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING, Any

from .errors import refuse
from .page import Page
from .par_mode import ParMode
from .par_slot import Slot

if TYPE_CHECKING:
    from .component import COMP
    from .operators import OP

MAGIC = b"TOX of the stand-in\n"
CUSTOM = (
    "name", "group", "style", "default", "val", "label", "vec_index", "order", "expr",
    "bind_expr", "default_expr", "menu_names", "menu_labels", "menu_source", "low", "high",
    "clamp_low", "clamp_high", "norm_low", "norm_high", "read_only", "enable", "enable_expr",
    "help", "start_section", "password",
)  # fmt: skip


def pack(component: COMP) -> bytes:
    """The bytes of a .tox."""
    return MAGIC + json.dumps(describe(component)).encode()


def unpack(data: bytes) -> dict[str, Any]:
    """What pack described."""
    if not data.startswith(MAGIC):
        refuse("this is no .tox that the stand-in wrote")
    return json.loads(data[len(MAGIC) :])


def describe(operator: OP, top: OP | None = None) -> dict[str, Any]:
    """An operator with everything inside it, and the wires that do not leave top."""
    top = top or operator
    inside = f"{top._path().rstrip('/')}/"
    try:
        storage = base64.b64encode(pickle.dumps(operator._storage)).decode()
    except Exception as error:  # noqa: BLE001  whatever pickling raises
        refuse(f"{operator._path()}: its storage cannot be saved: {error}")
    return {
        "type": operator.OPType,
        "name": operator._name,
        "look": operator._look,
        "flags": operator._flags,
        "tags": sorted(operator._tags),
        "storage": storage,
        "dock": operator._dock._name if operator._dock is not None else None,
        "pages": [page._name for page in operator._pages],
        "builtin": {s.name: _value(s) for s in operator._slots.values() if not s.custom},
        "custom": [_custom(s) for s in operator._slots.values() if s.custom],
        "content": operator._content(),
        "wires": {
            slot: source._path().removeprefix(inside)
            for slot, source in operator._wires.items()
            if operator is not top
            and source._path().startswith(inside)
            and not (operator._is_in and operator._parent is top)
        },
        "children": [describe(child, top) for child in operator._children.values()],
    }


def _value(slot: Slot) -> dict[str, Any]:
    return {
        "val": slot.val, "mode": slot.mode.name, "expr": slot.expr, "bind_expr": slot.bind_expr,
        "set_by_script": slot.set_by_script,
    }  # fmt: skip


def _custom(slot: Slot) -> dict[str, Any]:
    kept = {name: getattr(slot, name) for name in CUSTOM}
    return {**kept, "mode": slot.mode.name, "page": slot.page._name if slot.page else ""}


def restore(described: dict[str, Any], place: COMP, *, name: str | None) -> OP:
    """Makes a described operator inside a component."""
    made = _make(described, place, name or described["name"])
    _connect(described, made, made)
    return made


def _make(described: dict[str, Any], place: COMP, name: str) -> OP:
    kind = place._types.get(described["type"])
    if kind is None:
        refuse(f"{described['type']} is no operator type that the stand-in has")
    made = place._make(kind, name)
    made._look = {**described["look"], "color": tuple(described["look"]["color"])}
    made._flags, made._tags = dict(described["flags"]), set(described["tags"])
    made._storage = pickle.loads(base64.b64decode(described["storage"]))
    for slot_name, kept in described["builtin"].items():
        if slot_name in made._slots:
            _fill(made._slots[slot_name], kept)
    made._pages = [Page(made, title) for title in described["pages"]]
    for kept in described["custom"]:
        slot = Slot(owner=made, custom=True, **{key: kept[key] for key in CUSTOM})
        slot.mode, slot.page = ParMode[kept["mode"]], made._page_named(kept["page"])
        made._slots[slot.name] = slot
    made._take_content(described["content"])
    for child in described["children"]:
        _make(child, made, child["name"])
    return made


def _fill(slot: Slot, kept: dict[str, Any]) -> None:
    slot.val, slot.expr, slot.bind_expr = kept["val"], kept["expr"], kept["bind_expr"]
    slot.mode, slot.set_by_script = ParMode[kept["mode"]], kept["set_by_script"]


def _connect(described: dict[str, Any], made: OP, top: OP) -> None:
    for child in described["children"]:
        operator = made._children[child["name"]]
        if child["dock"] is not None:
            operator._dock = made._children.get(child["dock"])
        for slot, path in child["wires"].items():
            source: Any = top
            for part in path.split("/"):
                source = source._children[part]
            operator._wires[int(slot)] = source
        _connect(child, operator, top)
