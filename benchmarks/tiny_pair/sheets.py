"""Contact sheets: what each contestant made of a picture, to be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte.models.protocol import Decoded

from .held_out import Case
from .table import matte_of

TILE_WIDTH_PX = 200
ROWS = 5
BORDER_PX = 3

Pixels = npt.NDArray[np.uint8]


def write_sheet(case: Case, answers: dict[str, Decoded], path: Path) -> None:
    """Writes a PNG: a row for each of the first questions, there and absent in turn; a column
    for the truth and for each contestant, its name and confidence on it."""
    present = [i for i, q in enumerate(case.questions) if q.present]
    absent = [i for i, q in enumerate(case.questions) if not q.present]
    chosen = [*present[: ROWS - min(2, len(absent))], *absent[:2]]
    rows = []
    for index in chosen:
        question = case.questions[index]
        tiles = [_tile(case.pixels, question.truth, f"{question.text}")]
        for name, decoded in answers.items():
            matte = matte_of(decoded.logits[index], question.truth.shape)
            tiles.append(_tile(case.pixels, matte, f"{name} {decoded.confidence[index]:.2f}"))
        rows.append(np.concatenate(tiles, axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    _, coded = cv2.imencode(".png", np.concatenate(rows)[..., ::-1])
    path.write_bytes(coded.tobytes())


def _tile(pixels: Pixels, matte: npt.NDArray[np.bool_], title: str) -> Pixels:
    """The picture with all but the matte dimmed and in blue, under its title."""
    blue = pixels // 4 + np.array([0, 0, 90], np.uint8)
    shown = np.where(matte[..., None], pixels, blue)
    height = round(TILE_WIDTH_PX * pixels.shape[0] / pixels.shape[1])
    tile = cv2.resize(shown, (TILE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    cv2.rectangle(tile, (0, 0), (TILE_WIDTH_PX, 14), (0, 0, 0), -1)
    cv2.putText(tile, title, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1)
    return np.asarray(
        cv2.copyMakeBorder(tile, 0, BORDER_PX, 0, BORDER_PX, cv2.BORDER_CONSTANT), np.uint8
    )
