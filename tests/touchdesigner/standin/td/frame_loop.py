"""What happens in a frame, in order. Cook, Event-Driven Cooking; Execute DAT."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from .dat_code import call
from .extensions import say_initialized
from .operators import OP
from .param_watch import ParamWatch
from .pattern import numbered_order
from .run import go_due
from .session import current

POISON = np.nan


class FrameLoop:
    """Runs frames of the current session. poison: handed-out arrays are overwritten at the end."""

    def __init__(self, *, poison: bool) -> None:
        self._poison = poison
        self._watch = ParamWatch()
        self._listed_at = -1
        self._always: list[OP] = []
        self.messages: deque[tuple[OP, str, tuple[Any, ...], tuple[str, int]]] = deque()

    def frame(self, watched: Iterable[OP]) -> None:
        """One frame; watched are the operators that somebody looks at."""
        session = current()
        session.frame += 1
        session.step_seconds = 1 / session.rate
        session.seconds += session.step_seconds
        while self.messages:
            dat, address, values, peer = self.messages.popleft()
            if dat._alive:
                dat._receive(address, values, peer)
        go_due(end_frame=False)
        frame = session.timeline_frame
        tell("onFrameStart", "framestart", frame)
        self._watch.look(_active("parameterexecuteDAT"))
        for operator in [*watched, *self._unwatched()]:
            if operator._alive:
                operator._pull()
        self._watch.end()
        tell("onFrameEnd", "frameend", frame)
        go_due(end_frame=True)
        say_initialized()
        self.end_of_memory()

    def _unwatched(self) -> list[OP]:
        """Those that cook with nobody looking."""
        session = current()
        if self._listed_at != session.structure:
            self._listed_at = session.structure
            self._always = [op for op in session.root._all() if op._may_cook_alone]
        return [op for op in self._always if op._always_cooks()]

    def end_of_memory(self) -> None:
        """Arrays that numpyArray() gave are used for something else from here on."""
        session = current()
        if self._poison:
            for array in session.handed:
                array.flags.writeable = True
                array.fill(POISON)
        session.handed.clear()


def tell(function: str, toggle: str, *args: Any) -> None:
    """Calls a function of all Execute DATs that have it switched on."""
    for dat in _active("executeDAT"):
        if dat._alive and dat.par[toggle].eval():
            call(dat, function, *args)


def _active(kind: str) -> list[Any]:
    session = current()
    at, dats = session.listed.get(kind, (-1, []))
    if at != session.structure:
        dats = [op for op in session.root._all() if op.OPType == kind]
        dats.sort(key=lambda dat: numbered_order(dat._path()))
        session.listed[kind] = session.structure, dats
    return [dat for dat in dats if dat.par.active.eval()]
