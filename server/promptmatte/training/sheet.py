"""Contact sheets of mattes on held-out pictures: what a model keys, and what it gets wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.controls import MatteControls
from promptmatte.errors import DataError
from promptmatte.evaluation import EMPTY_SHARE, iou, read_mask
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models.protocol import Model
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.datasets import Dataset, Picture
from promptmatte.training.metrics import full_size
from promptmatte.training.samples import SMALLEST_SHARE, Crop, read_labelled

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

LONG_SIDE_PX = 640
ABSENT_EVERY = 5
"""One tile in so many asks for a thing that is not there."""

BAD_IOU = 0.5
COLUMNS = 5
TILE_PX, CAPTION_PX, GAP_PX, FRAME_PX = 260, 26, 8, 4
PAPER, INK, QUIET = (17, 17, 22), (236, 236, 240), (150, 150, 160)
KEYED, BAD = (74, 226, 150), (255, 70, 60)


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """One tile: a picture, what was asked of it, and how good the answer was.

    iou: 0..1 where the set knows; for an absent thing 1 when the matte is empty, else 0.
    """

    dataset: str
    file: str
    prompt: str
    present: bool
    iou: float
    confidence: float

    @property
    def bad(self) -> bool:
        """Overlap under BAD_IOU, or an absent thing keyed."""
        return self.iou < BAD_IOU


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prompt to ask of a held-out picture."""

    dataset: Dataset
    picture: Picture
    concept: str
    present: bool


def held_out_sheet(
    model: Model, datasets: Sequence[Dataset], path: Path, *, count: int = 40, seed: int = 0
) -> list[SheetRow]:
    """Writes a PNG of count mattes on held-out pictures and returns a row for each tile.

    The matte is tinted, the truth outlined; bad ones have a red frame. DataError when there
    are no held-out pictures.
    """
    rows, tiles = [], []
    for question in questions(datasets, count=count, seed=seed):
        row, tile = _answered(model, question)
        rows.append(row)
        tiles.append(tile)
    write_png(path, grid(tiles, columns=COLUMNS))
    return rows


def questions(datasets: Sequence[Dataset], *, count: int, seed: int) -> list[Question]:
    """Distinct questions, random but for the seed; fewer when there are not as many.

    Concepts that are there are drawn each with the root of how often it is; one in ABSENT_EVERY
    is a concept that its set never shows. DataError when there is nothing to ask.
    """
    rng = random.Random(seed)
    there: dict[str, list[Question]] = {}
    absent: list[Question] = []
    for dataset in datasets:
        for picture in dataset.split()[1]:
            for concept in _shown(dataset, picture):
                there.setdefault(concept, []).append(
                    Question(dataset=dataset, picture=picture, concept=concept, present=True)
                )
            absent += [
                Question(dataset=dataset, picture=picture, concept=concept, present=False)
                for concept in dataset.policy.elsewhere
            ]
    for pool in (*there.values(), absent):
        rng.shuffle(pool)
    asked: list[Question] = []
    while len(asked) < count and (there or absent):
        wants_absent = len(asked) % ABSENT_EVERY == ABSENT_EVERY - 1
        if absent and (wants_absent or not there):
            asked.append(absent.pop())
            continue
        concept = rng.choices(list(there), [len(pool) ** 0.5 for pool in there.values()])[0]
        asked.append(there[concept].pop())
        if not there[concept]:
            del there[concept]
    if not asked:
        raise DataError(
            "expected held-out pictures with things of known names; got none: the data sets "
            "need about 40 pictures for 6 to be held out"
        )
    rng.shuffle(asked)
    return asked


def _shown(dataset: Dataset, picture: Picture) -> list[str]:
    """The concepts that cover enough of a picture."""
    labels = read_mask(picture.mask)
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    return [c for c, ids in dataset.concepts.items() if shares[list(ids)].sum() >= SMALLEST_SHARE]


def _answered(model: Model, question: Question) -> tuple[SheetRow, Pixels]:
    """What the model makes of a question: its row and its tile."""
    labelled = read_labelled(question.dataset, question.picture, long_side=LONG_SIDE_PX)
    crop = Crop(dataset=labelled.dataset, pixels=labelled.pixels, labels=labelled.labels)
    here, known = crop.mask(question.concept)
    matte, confidence = keyed(model, labelled.pixels, question.concept)
    if question.present:
        overlap = iou(matte & known, here & known)
    else:
        overlap = float(matte.mean() < EMPTY_SHARE)
    row = SheetRow(
        dataset=question.dataset.name,
        file=question.picture.image.name,
        prompt=question.concept,
        present=question.present,
        iou=overlap,
        confidence=confidence,
    )
    told = f"IoU {overlap:.2f}" if row.present else ("empty" if overlap else "keyed")
    tile = captioned(
        panel(labelled.pixels, matte=matte, truth=here & known),
        row.prompt if row.present else f"no {row.prompt}",
        f"{told}  conf {confidence:.2f}",
    )
    return row, framed(tile) if row.bad else tile


def keyed(model: Model, pixels: Pixels, prompt: str) -> tuple[Mask, float]:
    """Where a thing is in a picture uint8 RGB [H, W, 3], bool [H, W], and the confidence.

    The matte at half alpha; empty below the default confidence floor.
    """
    info = FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0)
    scene = model.encode(Frame(info=info, pixels=pixels))
    decoded = model.decode(scene, model.embed(PromptSet(prompts=(Prompt(text=prompt),))))
    confidence = decoded.confidence[0]
    height, width = pixels.shape[:2]
    if confidence < MatteControls().confidence_floor:
        return np.zeros((height, width), np.bool_), confidence
    return full_size(decoded.logits[0], (height, width)) > 0, confidence


def panel(
    pixels: Pixels,
    *,
    matte: Mask | None = None,
    truth: Mask | None = None,
    tint: Colour = KEYED,
    side_px: int = TILE_PX,
) -> Pixels:
    """A picture uint8 [H, W, 3] in a square of side_px, the matte tinted, the truth outlined."""
    scale = side_px / max(pixels.shape[:2])
    size_wh = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = np.asarray(cv2.resize(pixels, size_wh, interpolation=way), np.uint8)
    if matte is not None:
        colour = np.full_like(picture, tint)
        where = _fitted(matte, size_wh)
        picture[where] = cv2.addWeighted(picture, 0.45, colour, 0.55, 0)[where]
    if truth is not None:
        solid = _fitted(truth, size_wh).view(np.uint8)
        lines, _ = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, lines, -1, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.drawContours(picture, lines, -1, (255, 255, 255), 1, cv2.LINE_AA)
    square = np.full((side_px, side_px, 3), PAPER, np.uint8)
    top, left = (side_px - size_wh[1]) // 2, (side_px - size_wh[0]) // 2
    square[top : top + size_wh[1], left : left + size_wh[0]] = picture
    return square


def _fitted(mask: Mask, size_wh: tuple[int, int]) -> Mask:
    whole = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)
    return np.asarray(cv2.resize(whole, size_wh, interpolation=cv2.INTER_AREA) >= 128)


def captioned(picture: Pixels, left: str, right: str = "") -> Pixels:
    """A picture with a strip below it: text at the left, and quieter at the right."""
    width = picture.shape[1]
    strip = np.full((CAPTION_PX, width, 3), PAPER, np.uint8)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.43
    end = width - 4 - cv2.getTextSize(right, font, scale, 1)[0][0]
    for text, x, colour in ((left, 4, INK), (right, end, QUIET)):
        cv2.putText(strip, text, (x, CAPTION_PX - 9), font, scale, colour, 1, cv2.LINE_AA)
    return np.vstack([picture, strip])


def framed(tile: Pixels) -> Pixels:
    """A tile with a red frame, of the same size."""
    inner = tile[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX]
    return np.asarray(
        cv2.copyMakeBorder(inner, *(FRAME_PX,) * 4, cv2.BORDER_CONSTANT, value=BAD), np.uint8
    )


def grid(tiles: Sequence[Pixels], *, columns: int) -> Pixels:
    """Tiles of one size in rows of so many, with gaps."""
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    shape = (GAP_PX + rows * (height + GAP_PX), GAP_PX + columns * (width + GAP_PX), 3)
    sheet = np.full(shape, PAPER, np.uint8)
    for index, tile in enumerate(tiles):
        y = GAP_PX + index // columns * (height + GAP_PX)
        x = GAP_PX + index % columns * (width + GAP_PX)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def write_png(path: Path, pixels: Pixels) -> None:
    """Writes uint8 RGB [H, W, 3], with the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes())
