"""How built-in parameters are written down: a line for each, in a table for each operator type.

    name style default | choices

A name with parts, resolution/w,h, is a group of several parameters with one label. Defaults
are documented for few parameters only; the others are the first choice, off, 0 or empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NUMBERS = {"Float", "Int"}
OPERATORS = {"OP": None, "COMP": "COMP", "TOP": "TOP", "CHOP": "CHOP", "DAT": "DAT"}
STRINGS = {"Str", "StrMenu", "File", "FileSave", "Folder", "Header", "Python"}
STYLES = {*NUMBERS, *OPERATORS, *STRINGS, "Toggle", "Menu", "Pulse", "Momentary"}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One built-in parameter."""

    name: str
    group: str
    style: str
    default: Any
    choices: tuple[str, ...] = ()
    low: float | None = None


def parse(table: str) -> Iterator[Declared]:
    """The parameters of a table."""
    for line in table.strip().splitlines():
        head, _, tail = line.strip().partition("|")
        names, style, *rest = head.split(maxsplit=2)
        choices = tuple(tail.split())
        group, _, suffixes = names.partition("/")
        text = rest[0].strip() if rest else ""
        for suffix in suffixes.split(",") if suffixes else [""]:
            yield Declared(
                name=group + suffix,
                group=group,
                style=style,
                default=_default(style, text, choices),
                choices=choices,
                low=1 if group == "resolution" else None,
            )


def _default(style: str, text: str, choices: tuple[str, ...]) -> Any:
    if style not in STYLES:
        raise ValueError(f"expected one of {sorted(STYLES)}; got {style!r}")
    if style == "Toggle":
        return text == "1"
    if style in NUMBERS:
        return {"Float": float, "Int": int}[style](text or 0)
    if style == "Menu":
        return text or choices[0]
    if style in STRINGS or style in OPERATORS:
        return text
    return None
