"""A stand-in for TouchDesigner's td module, written from its documentation.

It refuses what the documentation does not allow; where that is silent it takes the strictest
reading. See td_bench for what makes a project and runs frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cell import Cell
from .channel import CHOP, Channel
from .clock import AbsTime, App, Project
from .component import COMP
from .connector import Connector
from .cuda import CUDAMemory, CUDAMemoryShape
from .errors import tdAttributeError, tdError
from .finder import MOD, Ext, OPShortcut, ParentShortcut, resolve
from .guard import is_cooking_thread
from .operators import OP
from .page import Page
from .par import Par
from .par_group import ParGroup
from .par_mode import ParMode
from .run import Run, run
from .session import current
from .table import DAT
from .texture import TOP
from .types import TYPES


def _me() -> OP:
    session = current()
    return session.me[-1] if session.me else session.root


def _root() -> OP:
    return current().root


op = OPShortcut(_root, inside=True)
opex = OPShortcut(_root, inside=True, must=True)
parent = ParentShortcut(_me)
ext = Ext(_me)
mod = MOD(_me)
absTime, app, project = AbsTime(), App(), Project()  # noqa: N816  TouchDesigner's name


def ops(*patterns: str, includeUtility: bool = False) -> list[OP]:  # noqa: N803
    """Operators that match, from the root."""
    return [found for text in patterns for found in resolve(text, _root(), inside=True)]


def debug(*args: Any) -> None:
    """Prints to the Textport with the place in the code."""
    current().textport.write(
        " ".join(str(arg) for arg in args) + f" (Debug - DAT:{_me()._path()})\n"
    )


def isMainThread() -> bool:  # noqa: N802
    """Whether this is the cooking thread."""
    return is_cooking_thread()


globals().update(TYPES)

_MOVING: dict[str, Callable[[], Any]] = {"root": _root, "me": _me}


def __getattr__(name: str) -> Any:
    if name in _MOVING:
        return _MOVING[name]()
    raise AttributeError(f"module 'td' has no attribute {name!r} (that the stand-in has)")


__all__ = [
    "CHOP", "COMP", "DAT", "OP", "TOP", "CUDAMemory", "CUDAMemoryShape", "Cell", "Channel",
    "Connector", "Page", "Par", "ParGroup", "ParMode", "Run", "absTime", "app", "debug", "ext",
    "isMainThread", "mod", "op", "opex", "ops", "parent", "project", "root", "run",
    "tdAttributeError", "tdError", *TYPES,
]  # fmt: skip
