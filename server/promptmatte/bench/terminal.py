"""A report on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table as Shown

from promptmatte.bench.report import Cell, Report, Table


def shown(report: Report) -> Iterator[RenderableType]:
    """What to print, from top to bottom."""
    facts = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    yield f"[bold]{escape(report.title)}[/bold]  {escape(report.about)}\n[dim]{escape(facts)}[/dim]"
    for table in report.tables:
        yield _upright(table) if 2 * len(table.rows) < len(table.columns) else _flat(table)


def _flat(table: Table) -> Shown:
    """A line for each row."""
    grid = Shown(title=escape(table.title), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, heading in enumerate(table.columns):
        numbers = all(isinstance(row[index], int | float | None) for row in table.rows)
        grid.add_column(escape(heading), justify="right" if numbers else "left")
    for row in table.rows:
        grid.add_row(*(escape(cell_text(cell)) for cell in row))
    return grid


def _upright(table: Table) -> Shown:
    """A line for each column: what is wide and has few rows fits a narrow terminal so."""
    grid = Shown(title=escape(table.title), box=box.SIMPLE, show_header=False)
    for heading, *cells in zip(table.columns, *table.rows, strict=True):
        grid.add_row(escape(heading), *(escape(cell_text(cell)) for cell in cells))
    return grid


def cell_text(cell: Cell) -> str:
    """A value as a table shows it."""
    return "-" if cell is None else f"{cell:g}" if isinstance(cell, float) else str(cell)
