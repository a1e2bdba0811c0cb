# ruff: noqa: N802, N803, N815
"""DATs: text and tables. DAT Class."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

from .cell import Cell
from .dat_code import Code
from .errors import refuse
from .operators import OP
from .pattern import matches
from .run import Run, later
from .session import current

Place = int | str
"""A row or column: its index, or the text of its first cell."""


class DAT(OP):
    """An operator with text or a table."""

    family = "DAT"
    _holds_table: ClassVar[bool] = True
    _editable: ClassVar[bool] = False

    def __init__(self, name: str, parent: Any) -> None:
        super().__init__(name, parent)
        self._rows: list[list[str]] = []
        self._text = ""
        self._text_version = 0
        self._code = Code(self)

    # --- inner

    def _changed(self) -> None:
        self._text_version += 1
        self._version += 1

    def _edit(self, what: str) -> None:
        if not self._editable:
            refuse(f"{self._path()} ({self.OPType}): {what} cannot be set: it is not editable")

    def _table(self, what: str) -> list[list[str]]:
        if not self.isTable:
            refuse(f"{self._path()} holds text: no {what}")
        return self._rows

    def _text_of(self) -> str:
        if not self.isTable:
            return self._text
        # Newlines in cells are lost. DAT Class, text.
        return "".join("\t".join(row).replace("\n", "") + "\n" for row in self._rows)

    def _is_code(self) -> bool:
        return not self.isTable

    def _content(self) -> Any:
        if not self._editable:
            return None
        return [list(row) for row in self._rows] if self._holds_table else self._text

    def _take_content(self, content: Any) -> None:
        if isinstance(content, str):
            self._text = content
        elif content is not None:
            self._rows = [list(row) for row in content]
        self._changed()

    def _place_of(self, place: Place, names: list[str], what: str, *, must: bool = True) -> int:
        if isinstance(place, str):
            if place in names:
                return names.index(place)
        elif isinstance(place, int) and not isinstance(place, bool):
            if -len(names) <= place < len(names):
                return place % len(names)
        else:
            refuse(f"{self._path()}: expected a name or an index; got {place!r}")
        if must:
            refuse(f"{self._path()} has no {what} {place!r}")
        return -1

    def _row_of(self, place: Place, *, must: bool = True) -> int:
        names = [row[0] if row else "" for row in self._table("rows")]
        return self._place_of(place, names, "row", must=must)

    def _col_of(self, place: Place, *, must: bool = True) -> int:
        rows = self._table("columns")
        return self._place_of(place, rows[0] if rows else [], "column", must=must)

    # --- what it is

    @property
    def isTable(self) -> bool:
        """Whether it holds a table."""
        return self._holds_table

    isText = property(lambda dat: not dat.isTable)
    isEditable = property(lambda dat: dat._editable)

    @property
    def text(self) -> str:
        """All of it; of a table with tabs and line ends."""
        self._read()
        return self._text_of()

    @text.setter
    def text(self, text: str) -> None:
        self._edit("text")
        if not isinstance(text, str):
            refuse(f"{self._path()}.text: expected a string; got {type(text).__name__}")
        if self._holds_table:
            self._rows = [line.split("\t") for line in text.splitlines()]
        else:
            self._text = text
        self._changed()

    @property
    def module(self) -> ModuleType:
        """The text as a module; whatever it raises. MOD Class."""
        if not self._is_code():
            refuse(f"{self._path()} holds a table: it is no module")
        self._read()
        return self._code.module()

    @property
    def numRows(self) -> int:
        """Rows of the table; lines of a text."""
        self._read()
        return len(self._rows) if self.isTable else len(self._text.splitlines())

    @property
    def numCols(self) -> int:
        """Columns of the table."""
        self._read()
        return max((len(row) for row in self._rows), default=0) if self.isTable else 1

    # --- cells

    def __getitem__(self, place: tuple[Place, Place]) -> Cell:
        if not isinstance(place, tuple) or len(place) != 2:
            refuse(f"{self._path()}[...]: expected [row, column]; got {place!r}")
        found = self.cell(*place)
        if found is None:
            refuse(f"{self._path()} has no cell {place}; cell() would return None")
        return found

    def __setitem__(self, place: tuple[Place, Place], value: Any) -> None:
        self._edit("a cell")
        row, col = self._row_of(place[0]), self._col_of(place[1])
        self._rows[row][col] = str(value)
        self._changed()

    def cell(
        self, rowNameOrIndex: Place, colNameOrIndex: Place, caseSensitive: bool = True,
        val: bool = False,
    ) -> Any:  # fmt: skip
        """A cell, or its text with val; None when there is none."""
        if any(sign in f"{rowNameOrIndex}{colNameOrIndex}" for sign in "*?["):
            refuse(f"{self._path()}: the stand-in finds cells by exact names only")
        self._read()
        row = self._row_of(rowNameOrIndex, must=False)
        col = self._col_of(colNameOrIndex, must=False)
        if row < 0 or col < 0 or col >= len(self._rows[row]):
            return None
        return self._rows[row][col] if val else Cell(self, row, col)

    def _cells(self, places: list[tuple[int, int]], *, val: bool) -> list[Any]:
        return [self._rows[r][c] if val else Cell(self, r, c) for r, c in places]

    def row(self, nameOrIndex: Place, caseSensitive: bool = True, val: bool = False) -> Any:
        """The cells of a row; None when there is none."""
        self._read()
        row = self._row_of(nameOrIndex, must=False)
        if row < 0:
            return None
        return self._cells([(row, col) for col in range(len(self._rows[row]))], val=val)

    def rows(self, *names: str, caseSensitive: bool = True, val: bool = False) -> list[Any]:
        """The rows that match; all without names."""
        self._read()
        rows = self._table("rows")
        wanted = [r for r, row in enumerate(rows) if not names or _any(row[:1], names)]
        return [self.row(index, val=val) for index in wanted]

    def col(self, nameOrIndex: Place, caseSensitive: bool = True, val: bool = False) -> Any:
        """The cells of a column; None when there is none."""
        self._read()
        col = self._col_of(nameOrIndex, must=False)
        if col < 0:
            return None
        return self._cells(
            [(r, col) for r, row in enumerate(self._rows) if col < len(row)], val=val
        )

    def cols(self, *names: str, caseSensitive: bool = True, val: bool = False) -> list[Any]:
        """The columns that match; all without names."""
        self._read()
        first = (self._table("columns") or [[]])[0]
        wanted = [c for c, name in enumerate(first) if not names or _any([name], names)]
        return [self.col(index, val=val) for index in wanted]

    # --- editing

    def appendRow(self, vals: Sequence[Any] = (), nameOrIndex: Place | None = None) -> int:
        """Adds a row at the end, or after another; its index."""
        at = None if nameOrIndex is None else self._row_of(nameOrIndex) + 1
        return self.insertRow(vals, len(self._table("rows")) if at is None else at)

    def appendRows(self, vals: Sequence[Sequence[Any]], nameOrIndex: Place | None = None) -> int:
        """Adds several rows; the index of the first."""
        return min(self.appendRow(row) for row in vals)

    def insertRow(self, vals: Sequence[Any] = (), nameOrIndex: Place = 0) -> int:
        """Adds a row before another; its index."""
        self._edit("rows")
        rows = self._table("rows")
        at = len(rows) if nameOrIndex == len(rows) else self._row_of(nameOrIndex)
        rows.insert(at, self._texts(vals))
        self._even()
        self._changed()
        return at

    def replaceRow(
        self, nameOrIndex: Place, vals: Sequence[Any] = (), entireRow: bool = True
    ) -> int:
        """Other cells for a row; its index."""
        self._edit("rows")
        index, texts = self._row_of(nameOrIndex), self._texts(vals)
        rest = [] if entireRow else self._rows[index][len(texts) :]
        self._rows[index] = texts + rest
        self._even()
        self._changed()
        return index

    def deleteRow(self, nameOrIndex: Place) -> None:
        """Removes a row."""
        self._edit("rows")
        del self._rows[self._row_of(nameOrIndex)]
        self._changed()

    def deleteRows(self, vals: Sequence[Place]) -> None:
        """Removes several rows."""
        self._edit("rows")
        gone = {self._row_of(place) for place in vals}
        self._rows = [row for index, row in enumerate(self._rows) if index not in gone]
        self._changed()

    def appendCol(self, vals: Sequence[Any] = (), nameOrIndex: Place | None = None) -> int:
        """Adds a column at the end, or after another; its index."""
        self._edit("columns")
        rows, texts = self._table("columns"), self._texts(vals)
        at = self.numCols if nameOrIndex is None else self._col_of(nameOrIndex) + 1
        rows += [[""] * self.numCols for _ in range(len(texts) - len(rows))]
        for index, row in enumerate(rows):
            row.insert(at, texts[index] if index < len(texts) else "")
        self._changed()
        return at

    def setSize(self, numRows: int, numCols: int) -> None:
        """So many rows and columns."""
        self._edit("size")
        rows = self._table("size")
        kept = [[*row, *[""] * numCols][:numCols] for row in rows[:numRows]]
        self._rows = kept + [[""] * numCols for _ in range(numRows - len(kept))]
        self._changed()

    def clear(
        self, keepSize: bool = False, keepFirstRow: bool = False, keepFirstCol: bool = False
    ) -> None:
        """Empties it."""
        self._edit("content")
        self._text = ""
        first = self._rows[:1] if keepFirstRow else []
        if keepSize:
            self._rows = first + [[""] * len(row) for row in self._rows[len(first) :]]
        else:
            self._rows = first + [row[:1] for row in self._rows[len(first) :] if keepFirstCol]
        self._changed()

    def _texts(self, vals: Any) -> list[str]:
        if isinstance(vals, str) or not isinstance(vals, Sequence):
            refuse(f"{self._path()}: expected a list of cells; got {vals!r}")
        return [str(value) for value in vals]

    def _even(self) -> None:
        wide = max((len(row) for row in self._rows), default=0)
        for row in self._rows:
            row += [""] * (wide - len(row))

    def write(self, *args: Any) -> int:
        """Appends to the text: print(..., file=dat)."""
        self._edit("text")
        added = "".join(str(arg) for arg in args)
        self.text = self._text_of() + added
        return len(added)

    def run(
        self, *args: Any, endFrame: bool = False, fromOP: OP | None = None,
        asParameter: bool = False, group: str | None = None, delayFrames: float = 0,
        delayMilliSeconds: float = 0, delayRef: OP | None = None,
    ) -> Run:  # fmt: skip
        """Runs the text as a script, now or later."""
        node = fromOP or self

        def body() -> None:
            self._code.run(args, node)

        if not (endFrame or delayFrames or delayMilliSeconds):
            body()
            done = Run(body, self, group or "", current().seconds)
            done._active = False
            return done
        return later(
            body, where=self, group=group, end_frame=endFrame, frames=delayFrames,
            ms=delayMilliSeconds,
        )  # fmt: skip


def _any(texts: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(matches(text, pattern) for text in texts for pattern in patterns)
