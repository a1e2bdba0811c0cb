"""What names mean in scripts and expressions. td Module: its members are there without import."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .finder import MOD, Ext, OPShortcut, ParentShortcut, find_module, resolve
from .session import current

if TYPE_CHECKING:
    from .operators import OP


def names_for(node: OP) -> dict[str, Any]:
    """Globals of code that runs with node as me."""
    td = sys.modules[__package__]
    names = {name: getattr(td, name) for name in td.__all__}

    def ops(*patterns: str, includeUtility: bool = False) -> list[OP]:  # noqa: N803
        return [found for text in patterns for found in resolve(text, node, inside=False)]

    names.update(
        me=node,
        op=OPShortcut(lambda: node, inside=False),
        opex=OPShortcut(lambda: node, inside=False, must=True),
        ops=ops,
        parent=ParentShortcut(lambda: node),
        ext=Ext(lambda: node),
        mod=MOD(lambda: node),
        __builtins__={**vars(builtins), "__import__": _importer(node)},
    )
    return names


def _importer(node: OP) -> Callable[..., Any]:
    """import name: a DAT of that name comes before files. MOD Class, import datName."""

    def importing(
        name: str, globals_: Any = None, locals_: Any = None, names: Any = (), level: int = 0
    ) -> Any:
        if level == 0 and "." not in name:
            dat = find_module(node, name)
            if dat is not None and dat._is_code():
                return dat.module
        return builtins.__import__(name, globals_, locals_, names, level)

    return importing


def evaluate(text: str, node: OP) -> Any:
    """The value of an expression with node as me."""
    with current().as_me(node):
        return eval(text, names_for(node))
