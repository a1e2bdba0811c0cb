"""Draws the component's inside and its parameter pages for the docs, from the builder's own
description: python td_component/draw.py docs"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from promptmatte_td.network import NODES, OUTPUTS, Node
from promptmatte_td.parameters import FLOAT, INT, MENU, PAGES, PULSE, TOGGLE, Row

FAMILY_COLOURS = {"TOP": "#7d6fb3", "CHOP": "#6d9e52", "DAT": "#a3588f", "COMP": "#8a8a8a"}
WIDTH, HEIGHT = 150, 56
GROUND, LINE, PALE = "#26282c", "#c8ccd4", "#8f949e"
FONT = "font-family='Helvetica, Arial, sans-serif'"
LINE_PX, COLUMN_PX = 22, 380


def _text(x: float, y: float, text: str, *, size: int = 12, colour: str = LINE,
          anchor: str = "start") -> str:  # fmt: skip
    return (
        f"<text x='{x:g}' y='{y:g}' font-size='{size}' fill='{colour}' text-anchor='{anchor}' "
        f"{FONT}>{escape(text)}</text>"
    )


def _svg(width: float, height: float, parts: list[str]) -> str:
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' "
        f"width='{width:g}' height='{height:g}'>\n"
        f"<rect width='100%' height='100%' fill='{GROUND}'/>\n{body}\n</svg>\n"
    )


def network_svg() -> str:
    """The operators at their places with their wires."""
    left = min(node.at[0] for node in NODES) - 30
    top = max(node.at[1] for node in NODES) + HEIGHT + 30
    corner = {n.name: (n.at[0] - left, top - n.at[1] - HEIGHT) for n in NODES}
    parts = [wire for node in NODES for wire in _wires(node, corner)]
    parts += [part for node in NODES for part in _box(node, *corner[node.name])]
    width = max(x for x, _ in corner.values()) + WIDTH + 110
    height = max(y for _, y in corner.values()) + HEIGHT + 40
    return _svg(width, height, parts)


def _wires(node: Node, corner: dict[str, tuple[int, int]]) -> Iterator[str]:
    x, y = corner[node.name]
    for index, name in enumerate(node.inputs):
        from_x, from_y = corner[name][0] + WIDTH, corner[name][1] + HEIGHT / 2
        to_y = y + HEIGHT * (index + 1) / (len(node.inputs) + 1)
        bend = max(25.0, (x - from_x) / 2)
        yield (
            f"<path d='M{from_x:g} {from_y:g} C{from_x + bend:g} {from_y:g} "
            f"{x - bend:g} {to_y:g} {x:g} {to_y:g}' fill='none' stroke='{PALE}' "
            "stroke-width='2'/>"
        )


def _box(node: Node, x: float, y: float) -> Iterator[str]:
    family = next(name for name in FAMILY_COLOURS if node.kind.endswith(name))
    yield (
        f"<rect x='{x:g}' y='{y:g}' width='{WIDTH}' height='{HEIGHT}' rx='5' "
        f"fill='{FAMILY_COLOURS[family]}'/>"
    )
    yield _text(x + WIDTH / 2, y + 24, node.name, size=13, colour="#ffffff", anchor="middle")
    yield _text(x + WIDTH / 2, y + 42, node.kind, size=11, colour="#e4e2ee", anchor="middle")
    if node.about:
        yield _text(x + WIDTH / 2, y + HEIGHT + 14, node.about, size=10, colour=PALE,
                    anchor="middle")  # fmt: skip
    if node.name in OUTPUTS:
        yield _text(x + WIDTH + 10, y + HEIGHT / 2 + 4, f"→ {OUTPUTS[node.name]}")


def parameters_svg() -> str:
    """The pages side by side, a line a row, with defaults."""
    parts = []
    for column, (title, rows) in enumerate(PAGES.items()):
        x, y = 20 + column * COLUMN_PX, 34
        parts.append(_text(x, y, title, size=16, colour="#ffffff"))
        for row in rows:
            y += LINE_PX
            if row.section:
                y += 6
                parts.append(
                    f"<path d='M{x} {y - 16} h{COLUMN_PX - 30}' stroke='#44474e' stroke-width='1'/>"
                )
            parts.append(_text(x + 150, y, row.label, anchor="end"))
            parts += _fields(row, x + 160, y)
    longest = max(len(rows) + sum(row.section for row in rows) * 0.3 for rows in PAGES.values())
    return _svg(20 + len(PAGES) * COLUMN_PX, 60 + longest * LINE_PX, parts)


def _fields(row: Row, x: float, y: float) -> Iterator[str]:
    width = (COLUMN_PX - 190) / row.size
    for field in range(row.size):
        left = x + field * width
        if row.kind == TOGGLE:
            yield _field(left, y, 14, "x" if row.default else "")
        elif row.kind == PULSE:
            yield _field(left, y, 60, "Pulse")
        else:
            yield _field(left, y, width - 4, _shown(row))


def _shown(row: Row) -> str:
    if row.kind == MENU:
        return dict(row.choices)[str(row.default)] + "  ▾"
    if row.kind in (FLOAT, INT):
        return f"{row.default:g}"
    return str(row.default)


def _field(x: float, y: float, width: float, text: str) -> str:
    return (
        f"<rect x='{x:g}' y='{y - 13:g}' width='{width:g}' height='17' rx='2' fill='#3a3d44'/>"
        + (_text(x + 4, y, text, size=11) if text else "")
    )


PICTURES = {
    "touchdesigner-network.svg": network_svg,
    "touchdesigner-parameters.svg": parameters_svg,
}


def main(folder: Path) -> None:
    """Writes the pictures."""
    for name, draw in PICTURES.items():
        (folder / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
