"""Tells Parameter Execute DATs what has changed, once a frame. Parameter Execute DAT."""

from __future__ import annotations

from typing import Any

from .casting import plain
from .dat_code import call
from .par import Par
from .par_slot import Slot
from .pattern import matches
from .session import current


class ParamWatch:
    """Compares values with those of the frame before. What is seen first is no change."""

    def __init__(self) -> None:
        self._changed: dict[Any, list[tuple[Par, Any]]] = {}

    def look(self, watchers: list[Any]) -> None:
        """One frame's changes and pulses."""
        session = current()
        pulses = [slot for slot in session.pulses if slot.alive]
        session.pulses.clear()
        self._changed = {}
        changes = self._changes(watchers)
        for dat in watchers:
            mine = [(slot, before) for slot, before in changes if _watches(dat, slot)]
            if dat.par.valuechange:
                for slot, before in mine:
                    call(dat, "onValueChange", Par(slot), before)
            if mine:
                self._changed[dat] = [(Par(slot), before) for slot, before in mine]
            for slot in pulses:
                if dat._alive and dat.par.onpulse and _watches(dat, slot):
                    call(dat, "onPulse", Par(slot))

    def _changes(self, watchers: list[Any]) -> list[tuple[Slot, Any]]:
        changes: list[tuple[Slot, Any]] = []
        watched = {op for dat in watchers for op in dat.par.op.evalOPs()}
        for operator in sorted(watched, key=lambda op: op._path()):
            for slot in list(operator._slots.values()):
                if slot.style in ("Pulse", "Momentary", "Header"):
                    continue
                value = plain(Par(slot).eval())
                if slot.seen is not None and slot.seen[0] != value:
                    changes.append((slot, slot.seen[0]))
                slot.seen = (value,)
        return changes

    def end(self) -> None:
        """The end of the frame: onValuesChanged with all of the frame."""
        for dat, changed in self._changed.items():
            if dat._alive and dat.par.valueschanged:
                named = [_Changed(par, prev) for par, prev in changed if par.valid]
                call(dat, "onValuesChanged", named)
        self._changed = {}


class _Changed:
    """Has par and prev. Parameter Execute DAT, onValuesChanged."""

    def __init__(self, par: Par, prev: Any) -> None:
        self.par, self.prev = par, prev


def _watches(dat: Any, slot: Slot) -> bool:
    if not dat._alive or not slot.alive or slot.owner not in dat.par.op.evalOPs():
        return False
    kind = dat.par.custom if slot.custom else dat.par.builtin
    return bool(kind) and matches(slot.name, str(dat.par.pars))
