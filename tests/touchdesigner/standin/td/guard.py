"""Objects of TouchDesigner: used on the cooking thread only, no members but the documented.

td Module, isMainThread: "Any calls that access operators, etc., must be called from the main
thread."
"""

from __future__ import annotations

import threading
from threading import get_ident
from typing import Any, NoReturn

from .errors import refuse, tdAttributeError


class _Cooking:
    ident = threading.get_ident()


def cook_on_this_thread() -> None:
    """Makes the calling thread the cooking one."""
    _Cooking.ident = threading.get_ident()


def is_cooking_thread() -> bool:
    """Whether the calling thread is the cooking one."""
    return get_ident() == _Cooking.ident


def refuse_thread(owner: object, name: str) -> NoReturn:
    """A member was used on another thread."""
    refuse(
        f"{type(owner).__name__}.{name} was used on thread {threading.current_thread().name!r}; "
        "expected the main (cooking) thread"
    )


class Guarded:
    """Refuses other threads, unknown members and the setting of read-only ones.

    Members that start with an underscore are the stand-in's own.
    """

    def __getattribute__(self, name: str) -> Any:
        if get_ident() != _Cooking.ident and name[:2] != "__":
            refuse_thread(self, name)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if get_ident() != _Cooking.ident:
            refuse_thread(self, name)
        if name[0] == "_":
            object.__setattr__(self, name, value)
            return
        member = getattr(type(self), name, None)
        if isinstance(member, property) and member.fset is not None:
            member.fset(self, value)
            return
        what = "read only" if member is not None else "not a member"
        refuse(f"{type(self).__name__}.{name} cannot be set: {what}", error=tdAttributeError)
