"""Scores by group, as JSON values, on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from .cases import GROUPS

OVERALL = "all pictures"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One picture: share of it that people cover, and iou and milliseconds by contender.

    confidence: of the first contender.
    """

    group: str
    dataset: str
    file: str
    size: str
    share: float
    confidence: float
    iou: dict[str, float]
    ms: dict[str, float]


def summaries(rows: Sequence[Row], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each group and of all: n, and by contender mean iou, ms p50 and p95."""
    found = {}
    for group in (*GROUPS, OVERALL):
        own = [row for row in rows if group in (row.group, OVERALL)]
        if own:
            found[group] = {"n": len(own), **{name: _summary(own, name) for name in names}}
    return found


def _summary(rows: Sequence[Row], name: str) -> dict[str, float]:
    ms = [row.ms[name] for row in rows]
    return {
        "iou": round(float(np.mean([row.iou[name] for row in rows])), 4),
        "ms_p50": round(float(np.median(ms)), 2),
        "ms_p95": round(float(np.percentile(ms, 95)), 2),
    }


def best_of(summary: dict[str, Any], names: Sequence[str]) -> str:
    """The contender with the best mean iou of a group."""
    return max(names, key=lambda name: float(summary[name]["iou"]))


def cells(
    groups: dict[str, dict[str, Any]], names: Sequence[str], bold: tuple[str, str]
) -> list[list[str]]:
    """Lines of group, n and mean iou by contender, the best ones between the marks of bold;
    then the median times over all pictures."""
    lines = []
    for group, summary in groups.items():
        ious = [f"{summary[name]['iou']:.3f}" for name in names]
        best = max(ious)
        marked = [f"{bold[0]}{iou}{bold[1]}" if iou == best else iou for iou in ious]
        lines.append([group, str(summary["n"]), *marked])
    times = [f"{groups[OVERALL][name]['ms_p50']:.1f} ms" for name in names]
    return [*lines, ["median time", "", *times]]


def terminal(groups: dict[str, dict[str, Any]], names: Sequence[str]) -> Table:
    """As a table of rich."""
    table = Table(box=box.SIMPLE_HEAD, title="mean IoU of people")
    table.add_column("group")
    for title in ("pictures", *names):
        table.add_column(title, justify="right")
    lines = cells(groups, names, ("[bold]", "[/bold]"))
    for index, line in enumerate(lines):
        table.add_row(*line, end_section=index >= len(lines) - 3)
    return table


def markdown(groups: dict[str, dict[str, Any]], names: Sequence[str]) -> str:
    """As a table of a README."""
    lines = [["mean IoU", "pictures", *names], ["---", *("---:",) * (1 + len(names))]]
    lines += cells(groups, names, ("**", "**"))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
