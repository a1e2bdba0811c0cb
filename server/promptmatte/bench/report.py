"""What a measurement found, in the one form that docs/benchmarks.md is made of.

As JSON: {"command", "title", "about", "machine": {"device", "python", "commit", versions},
"tables": [{"title", "columns", "rows"}]} and further raw values beside them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptmatte.bench.machine import machine
from promptmatte.errors import PromptMatteError

Cell = str | int | float | None
STDOUT = Path("-")
"""In place of a file: standard output."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A row has a value for each column: text, a number already rounded, or None for "not
    measured"."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"expected {len(self.columns)} values in a row; got {row!r}")


@dataclass(frozen=True, kw_only=True)
class Report:
    """command: the line that measures it again. about: one paragraph, what was measured and how.
    raw: further values of the JSON, under names of their own."""

    command: str
    title: str
    about: str
    tables: Sequence[Table]
    machine: Mapping[str, str] = field(default_factory=machine)
    raw: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """The report as JSON values."""
        tables = [
            {"title": t.title, "columns": [*t.columns], "rows": [[*row] for row in t.rows]}
            for t in self.tables
        ]
        return {
            "command": self.command,
            "title": self.title,
            "about": self.about,
            "machine": dict(self.machine),
            "tables": tables,
            **self.raw,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Report:
        """The report that `values` came from; PromptMatteError for values of another form."""
        rest = dict(values)
        try:
            tables = [Table(**table) for table in rest.pop("tables")]
            own = {name: rest.pop(name) for name in ("command", "title", "about", "machine")}
        except (KeyError, TypeError, ValueError) as error:
            raise PromptMatteError(
                f"expected a report with command, title, about, machine and tables; {error!r}"
            ) from error
        return cls(**own, tables=tables, raw=rest)

    def write(self, path: Path) -> None:
        """Writes it as JSON, to standard output for "-"; PromptMatteError where it cannot."""
        text = json.dumps(self.values(), indent=1, ensure_ascii=False) + "\n"
        if path == STDOUT:
            sys.stdout.write(text)
            return
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise PromptMatteError(f"cannot write {path}: {error.strerror or error}") from error
