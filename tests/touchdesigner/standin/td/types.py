"""Every operator type, as the class of td by which create() makes it."""

from __future__ import annotations

from .channel_types import CHOP_CLASSES
from .component import COMP
from .declaration import Declared, parse
from .declared_others import (
    CHOP_COMMON,
    CHOPS,
    COMP_COMMON,
    COMPS,
    DAT_COMMON,
    DATS,
)
from .declared_tops import COMMON, MODIFY_OUTSIDE, SWITCH_EXTEND, TOPS
from .operators import OP
from .table_types import DAT_CLASSES
from .texture_types import TOP_CLASSES

SINCE_2025 = {
    "scriptTOP": MODIFY_OUTSIDE,
    "scriptCHOP": MODIFY_OUTSIDE,
    "switchTOP": SWITCH_EXTEND,
}


def _type(name: str, base: type[OP], common: str, own: str) -> type[OP]:
    declared: dict[str, Declared] = {d.name: d for d in parse(own)}
    for shared in parse(common):
        declared.setdefault(shared.name, shared)
    members = {
        "OPType": name,
        "_declared": tuple(declared.values()),
        "_declared_2025": tuple(parse(SINCE_2025.get(name, ""))),
        "__doc__": base.__doc__,
        "__module__": "td",
    }
    return type(name, (base,), members)


def _all_types() -> dict[str, type[OP]]:
    types: dict[str, type[OP]] = {}
    for declared, classes, common in (
        (TOPS, TOP_CLASSES, COMMON),
        (CHOPS, CHOP_CLASSES, CHOP_COMMON),
        (DATS, DAT_CLASSES, DAT_COMMON),
        (COMPS, dict.fromkeys(COMPS, COMP), COMP_COMMON),
    ):
        for name, own in declared.items():
            types[name] = _type(name, classes[name], common, own)
    return types


TYPES = _all_types()
COMP._types = TYPES
