"""Cells of tables. Cell Class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .casting import Castable
from .errors import refuse

if TYPE_CHECKING:
    from .table import DAT


class Cell(Castable):
    """A cell; in expressions a number when its text is one, else the text."""

    def __init__(self, owner: DAT, row: int, col: int) -> None:
        self._owner, self._row, self._col = owner, row, col

    def _cast(self) -> Any:
        text = self.val
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
        return text

    def __str__(self) -> str:
        return self.val

    def __repr__(self) -> str:
        return f"type:Cell owner:{self._owner._path()} row:{self._row} col:{self._col}"

    row = property(lambda cell: cell._row)
    col = property(lambda cell: cell._col)
    owner = property(lambda cell: cell._owner)

    @property
    def valid(self) -> bool:
        """Whether the table still has it."""
        rows = self._owner._rows
        return self._row < len(rows) and self._col < len(rows[self._row])

    @property
    def val(self) -> str:
        """The text."""
        if not self.valid:
            refuse(f"{self._owner._path()}: no cell [{self._row}, {self._col}] any longer")
        return self._owner._rows[self._row][self._col]

    @val.setter
    def val(self, value: Any) -> None:
        self._owner._edit("a cell")
        if not self.valid:
            refuse(f"{self._owner._path()}: no cell [{self._row}, {self._col}] any longer")
        self._owner._rows[self._row][self._col] = str(value)
        self._owner._changed()

    def offset(self, row: int, col: int) -> Cell | None:
        """The cell so many rows and columns away, or None."""
        cell = Cell(self._owner, self._row + row, self._col + col)
        return cell if min(cell._row, cell._col) >= 0 and cell.valid else None
