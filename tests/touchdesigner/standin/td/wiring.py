# ruff: noqa: N802, N815
"""Wires of an operator. OP Class, Connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .connector import Connector
from .errors import refuse
from .guard import Guarded
from .pattern import numbered_order

if TYPE_CHECKING:
    from .operators import OP


class Wired(Guarded):
    """Inputs and outputs. An In operator keeps the wire of its component's input."""

    _wires: dict[int, OP]
    _max_inputs: ClassVar[int] = 1
    _is_in: ClassVar[bool] = False
    _is_out: ClassVar[bool] = False

    def _inner(self, *, inputs: bool) -> list[OP]:
        children: Any = self._children.values() if self.isCOMP else ()
        ends = [c for c in children if (c._is_in if inputs else c._is_out)]
        return sorted(ends, key=lambda child: numbered_order(child._name))

    @property
    def inputConnectors(self) -> list[Connector]:
        """On the left; a component has one for each In operator."""
        if self.isCOMP:
            inner = self._inner(inputs=True)
            return [Connector(self, i, is_input=True, inner=op) for i, op in enumerate(inner)]
        return [Connector(self, i, is_input=True) for i in range(self._max_inputs)]

    @property
    def outputConnectors(self) -> list[Connector]:
        """On the right; a component has one for each Out operator."""
        if self.isCOMP:
            inner = self._inner(inputs=False)
            return [Connector(self, i, is_input=False, inner=op) for i, op in enumerate(inner)]
        return [Connector(self, 0, is_input=False)]

    @property
    def inputs(self) -> list[OP]:
        """The operators wired to this one, without gaps."""
        if self.isCOMP:
            sources = [op._wires.get(0) for op in self._inner(inputs=True)]
        else:
            sources = [self._wires[slot] for slot in sorted(self._wires)]
        return [s._parent if s._is_out and s._parent else s for s in sources if s is not None]

    @property
    def outputs(self) -> list[OP]:
        """The operators that this one is wired to."""
        connections = [c for own in self.outputConnectors for c in own.connections]
        return [connector.owner for connector in connections]

    minInputs = property(lambda op: 0)
    maxInputs = property(lambda op: len(op.inputConnectors) if op.isCOMP else op._max_inputs)

    def setInputs(self, operators: Sequence[OP | None]) -> None:
        """Wires all inputs; None leaves one unwired, an empty list all."""
        connectors = self.inputConnectors
        if len(operators) > len(connectors):
            refuse(
                f"{self._path()} ({self.OPType}) has {len(connectors)} inputs; "
                f"got {len(operators)} operators"
            )
        for index, connector in enumerate(connectors):
            source = operators[index] if index < len(operators) else None
            connector.disconnect()
            if source is not None:
                connector.connect(source)

    def _wire(self, slot: int, source: OP, *, beside: OP) -> None:
        if source.family != self.family:
            refuse(
                f"{source._path()} is a {source.family}, {self._path()} a {self.family}: "
                "only operators of one family can be wired"
            )
        shown = (
            source._parent if source._is_out and beside._parent is not source._parent else source
        )
        if shown is None or shown._parent is not beside._parent:
            refuse(f"{source._path()} and {beside._path()} are not in the same network")
        if self in source._upstream():
            refuse(f"{source._path()} -> {self._path()} would be a loop")
        self._wires[slot] = source
        self._touch()

    def _unwire(self, slot: int) -> None:
        if self._wires.pop(slot, None) is not None:
            self._touch()

    def _upstream(self) -> list[OP]:
        """This operator and all that it hangs on by wires."""
        seen: list[Any] = []
        todo: list[Any] = [self]
        while todo:
            operator = todo.pop()
            if operator not in seen:
                seen.append(operator)
                todo += operator._wires.values()
        return seen
