# ruff: noqa: N815
"""Where wires end. Connector Class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import refuse
from .guard import Guarded

if TYPE_CHECKING:
    from .operators import OP


class Connector(Guarded):
    """An input or output of an operator. inner: the In or Out operator of a component's."""

    def __init__(self, owner: OP, index: int, *, is_input: bool, inner: OP | None = None) -> None:
        self._owner, self._index, self._is_input, self._inner = owner, index, is_input, inner

    owner = property(lambda connector: connector._owner)
    index = property(lambda connector: connector._index)
    isInput = property(lambda connector: connector._is_input)
    isOutput = property(lambda connector: not connector._is_input)
    inOP = property(lambda connector: connector._inner if connector._is_input else None)
    outOP = property(lambda connector: None if connector._is_input else connector._inner)
    description = property(lambda connector: "")

    @property
    def connections(self) -> list[Connector]:
        """The connectors at the other ends."""
        if self._is_input:
            source = self._end()._wires.get(self._slot())
            return [] if source is None else [_output_of(source)]
        end = self._end()
        return [
            _input_of(operator, place)
            for operator in end._network_root()._all()
            for place, source in operator._wires.items()
            if source is end
        ]

    def _end(self) -> OP:
        """The operator that keeps the wire."""
        return self._inner or self._owner

    def _slot(self) -> int:
        return 0 if self._inner is not None else self._index

    def connect(self, target: OP | Connector) -> None:
        """Wires this to an operator or connector: of an input the wire before is replaced."""
        other = target if isinstance(target, Connector) else self._match(target)
        if other._is_input == self._is_input:
            refuse(f"{self._owner._path()}: two inputs or two outputs cannot be wired")
        source, sink = (other, self) if self._is_input else (self, other)
        sink._end()._wire(sink._slot(), source._end(), beside=sink._owner)

    def _match(self, target: OP) -> Connector:
        if not hasattr(target, "_wires"):
            refuse(f"connect(): expected an operator or a connector; got {target!r}")
        connectors = target.outputConnectors if self._is_input else target.inputConnectors
        if not connectors:
            what = "output" if self._is_input else "input"
            refuse(f"{target._path()} has no {what} to wire to {self._owner._path()}")
        family = self._end().family
        for connector in connectors:
            free = self._is_input or connector._slot() not in connector._end()._wires
            if connector._end().family == family and free:
                return connector
        return connectors[0]

    def disconnect(self) -> None:
        """Takes the wires away."""
        if self._is_input:
            self._end()._unwire(self._slot())
            return
        for connector in self.connections:
            connector.disconnect()


def _output_of(source: OP) -> Connector:
    component = source._parent
    if source._is_out and component is not None:
        return next(c for c in component.outputConnectors if c._inner is source)
    return source.outputConnectors[0]


def _input_of(operator: OP, slot: int) -> Connector:
    component = operator._parent
    if operator._is_in and component is not None:
        return next(c for c in component.inputConnectors if c._inner is operator)
    return operator.inputConnectors[slot]
