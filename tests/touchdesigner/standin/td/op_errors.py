# ruff: noqa: N802
"""Errors, warnings and script errors of operators. OP Class, Errors."""

from __future__ import annotations

from .cooking import Cooks
from .errors import refuse
from .pattern import matches
from .session import current


class Complains(Cooks):
    """Keeps what is wrong with an operator."""

    _script_errors: list[str]

    def addScriptError(self, msg: str) -> None:
        """Adds a script error."""
        self._script_errors.append(str(msg))

    def addError(self, msg: str) -> None:
        """Adds an error; while the operator cooks only."""
        self._while_cooking("addError")
        self._cook_errors.append(str(msg))

    def addWarning(self, msg: str) -> None:
        """Adds a warning; while the operator cooks only."""
        self._while_cooking("addWarning")
        self._cook_warnings.append(str(msg))

    def _while_cooking(self, method: str) -> None:
        if self not in current().cooking:
            refuse(f"{self._path()}.{method} is only valid while the operator is cooking")

    def errors(self, recurse: bool = False) -> str:
        """Errors and script errors, a line each."""
        return self._lines(lambda op: [*op._cook_errors, *op._script_errors], recurse)

    def warnings(self, recurse: bool = False) -> str:
        """Warnings, a line each."""
        return self._lines(lambda op: op._cook_warnings, recurse)

    def scriptErrors(self, recurse: bool = False) -> str:
        """Script errors, a line each."""
        return self._lines(lambda op: op._script_errors, recurse)

    def _lines(self, of: object, recurse: bool) -> str:
        operators = self._all() if recurse else [self]
        lines = [f"{line} ({op._path()})" for op in operators for line in of(op)]
        return "\n".join(lines)

    def clearScriptErrors(self, recurse: bool = False, error: str = "*") -> None:
        """Forgets script errors that match."""
        for op in self._all() if recurse else [self]:
            op._script_errors = [e for e in op._script_errors if not matches(e, error)]
