"""The contact sheet: the pictures of each group on which our model is worst and best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from promptmatte.training.sheet import GAP_PX, INK, PAPER, captioned, grid, panel, write_png

from .cases import Pixels, Place
from .contenders import Answer
from .table import Row

EACH = 6
COLUMNS = ("picture", "truth")
TRUTH, PEER = (90, 140, 255), (255, 196, 60)
SIDE_PX, TITLE_PX = 190, 40

Ask = Callable[[Pixels], dict[str, Answer]]


def worst_and_best(rows: Sequence[Row], name: str) -> tuple[list[int], list[int]]:
    """Indices of the rows of the EACH lowest iou of a contender, lowest first, and of the EACH
    highest, highest first; no row is in both."""
    order = sorted(range(len(rows)), key=lambda index: rows[index].iou[name])
    rest = order[EACH:]
    return order[:EACH], rest[::-1][:EACH]


def write_sheet(
    groups: dict[str, list[tuple[Place, Row]]],
    peers: dict[str, str],
    name: str,
    ask: Ask,
    path: Path,
) -> None:
    """Writes a PNG. Each group has the worst pictures at the left and the best at the right,
    each as picture, truth, our matte and that of the group's peer."""
    parts = []
    for group, members in groups.items():
        worst, best = worst_and_best([row for _, row in members], name)
        tiles = []
        for index in range(len(worst)):
            for side in (worst, best):
                chosen = members[side[index]] if index < len(side) else None
                tiles += _tiles(chosen, name, peers[group], ask)
        sheet = grid(tiles, columns=8)
        title = f"{group}: worst of {name} (left), best (right); picture | truth | {name} | "
        parts += [_title(title + peers[group], sheet.shape[1]), sheet]
    write_png(path, np.vstack(parts))


def _tiles(chosen: tuple[Place, Row] | None, name: str, peer: str, ask: Ask) -> list[Pixels]:
    """Four tiles of a picture, or as many empty ones."""
    if chosen is None:
        nothing = np.full((SIDE_PX, SIDE_PX, 3), PAPER, np.uint8)
        return [captioned(nothing, "")] * 4
    place, row = chosen
    case = place.case()
    found = ask(case.pixels)
    return [
        captioned(panel(case.pixels, side_px=SIDE_PX), row.file[-22:]),
        captioned(panel(case.pixels, matte=case.truth, tint=TRUTH, side_px=SIDE_PX), row.dataset),
        captioned(
            panel(case.pixels, matte=found[name].mask, side_px=SIDE_PX),
            f"IoU {row.iou[name]:.2f}", f"conf {row.confidence:.2f}",
        ),
        captioned(
            panel(case.pixels, matte=found[peer].mask, tint=PEER, side_px=SIDE_PX),
            f"IoU {row.iou[peer]:.2f}",
        ),
    ]  # fmt: skip


def _title(text: str, width: int) -> Pixels:
    strip = np.full((TITLE_PX, width, 3), PAPER, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(strip, text, (GAP_PX + 4, 27), font, 0.6, INK, 1, cv2.LINE_AA)
    return strip
