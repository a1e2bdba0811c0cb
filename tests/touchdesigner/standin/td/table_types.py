# ruff: noqa: N802, N803
"""The DATs that a network here can have, by their pages."""

from __future__ import annotations

from typing import Any

from .dat_code import call
from .errors import refuse
from .osc import Peer, encode, received
from .pattern import matches
from .session import current
from .table import DAT

OSC_CALLBACKS = """# me - this DAT
# dat - the DAT that received a message

def onReceiveOSC(dat, rowIndex, message, bytes, timeStamp, address, args, peer):
\treturn
"""


class TextDAT(DAT):
    """Text DAT."""

    _holds_table = False
    _editable = True


class TableDAT(DAT):
    """Table DAT."""

    _editable = True


class ExecuteDAT(TextDAT):
    """Execute DAT: scripts at the start and the end of frames, and other events."""

    _max_inputs = 0


class ParameterexecuteDAT(TextDAT):
    """Parameter Execute DAT: scripts when parameters change."""

    _max_inputs = 0


class PassDAT(DAT):
    """In, Out and Null DAT: the input."""

    @property
    def isTable(self) -> bool:
        """As the input is."""
        source: Any = self._wires.get(0)
        return True if source is None else source.isTable

    def _compute(self) -> None:
        source: Any = self._wires.get(0)
        self._rows = [] if source is None else [list(row) for row in source._rows]
        self._text = "" if source is None else source._text
        self._text_version += 1


class InDAT(PassDAT):
    """In DAT: what is wired to the component."""

    _is_in = True


class OutDAT(PassDAT):
    """Out DAT: what the component gives."""

    _is_out = True


class QueueDAT(DAT):
    """Keeps so many rows, the oldest go first."""

    _max_inputs = 0

    def _clamp(self) -> None:
        if self.par.clamp:
            first = 1 if self.par["firstrow"] is not None and self.par.firstrow else 0
            most = max(int(self.par.maxlines), first)
            while len(self._rows) > most:
                del self._rows[first]

    def _pulsed(self, slot: Any) -> None:
        if slot.name == "clear":
            self._rows = []
            self._changed()
        super()._pulsed(slot)


class FifoDAT(QueueDAT):
    """FIFO DAT: rows that scripts append. The name of its callback is not documented: none."""

    _editable = True

    def _changed(self) -> None:
        self._clamp()
        super()._changed()

    def appendRow(self, vals: Any = (), nameOrIndex: Any = None) -> int:
        """Adds a row; the oldest goes when there are too many."""
        if self.par.callbacks.eval() is not None:
            refuse(f"{self._path()}: the stand-in has no callbacks of FIFO DATs")
        super().appendRow(vals, nameOrIndex)
        return len(self._rows) - 1


class OscinDAT(QueueDAT):
    """OSC In DAT: a row and a callback for each message."""

    _docks_callbacks = OSC_CALLBACKS

    def _receive(self, address: str, values: tuple[Any, ...], peer: tuple[str, int]) -> None:
        """A message came in."""
        par = self.par
        if not par.active or not matches(address, str(par.addscope)):
            return
        data, tag = encode(address, values)
        args = received(values)
        shown = [f'"{arg}"' if isinstance(arg, str) else str(arg) for arg in args]
        message = " ".join([address, *([f",{tag}"] if par.typetag else []), *shown])
        self._rows.append([message, *([data.hex(" ")] if par.bytes else [])])
        self._clamp()
        self._changed()
        call(
            par.callbacks.eval(), "onReceiveOSC", self, len(self._rows) - 1, message, data,
            current().seconds, address, args, Peer(self, *peer),
        )  # fmt: skip


DAT_CLASSES: dict[str, type[DAT]] = {
    "textDAT": TextDAT,
    "tableDAT": TableDAT,
    "fifoDAT": FifoDAT,
    "executeDAT": ExecuteDAT,
    "parameterexecuteDAT": ParameterexecuteDAT,
    "oscinDAT": OscinDAT,
    "inDAT": InDAT,
    "outDAT": OutDAT,
    "nullDAT": PassDAT,
}
