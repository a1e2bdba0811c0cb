"""The sheet of held-out pictures: what it asks, how it judges, what it draws."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from promptmatte.errors import DataError
from promptmatte.training.datasets import load_datasets
from promptmatte.training.sheet import (
    BAD,
    CAPTION_PX,
    GAP_PX,
    TILE_PX,
    SheetRow,
    framed,
    grid,
    held_out_sheet,
    keyed,
    panel,
    questions,
)
from red_model import RedModel

SIZE_HW = (48, 64)
HELD_OUT = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets by the names of real ones. msrc21: a red car (12), in some a cow (4) that the
    stand-in does not know; weizmann_horse: a red horse, and never an airplane."""
    rng = np.random.default_rng(0)
    for name, classes in (("msrc21", {0: "void (ignore)", 4: "cow", 12: "car"}),
                          ("weizmann_horse", {0: "background", 1: "horse"})):  # fmt: skip
        root = tmp_path / "data" / name
        for part in ("images", "masks"):
            (root / part).mkdir(parents=True)
        for index in range(40):
            pixels = rng.integers(0, 60, (*SIZE_HW, 3), dtype=np.uint8)
            labels = np.zeros(SIZE_HW, np.uint8)
            pixels[8:32, 6:30] = (230, 20, 20)
            labels[8:32, 6:30] = 12 if name == "msrc21" else 1
            if name == "msrc21" and index % 2:
                labels[34:46, 40:60] = 4
            cv2.imwrite(str(root / "images" / f"{index:02d}.png"), pixels[..., ::-1])
            cv2.imwrite(str(root / "masks" / f"{index:02d}.png"), labels)
        ignore = [0] if name == "msrc21" else []
        text = json.dumps({"classes": {str(i): n for i, n in classes.items()}, "ignore": ignore})
        (root / "classes.json").write_text(text)
    return tmp_path / "data"


def test_rows_tell_what_is_keyed_well_and_what_is_not(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "sheet.png"
    rows = held_out_sheet(RedModel(), load_datasets(folder), path, count=20)
    assert len(rows) == 20
    assert {row.prompt for row in rows if row.present} == {"car", "cow", "horse"}
    for row in rows:
        if row.prompt in ("car", "horse"):
            assert row.iou > 0.9
            assert row.confidence == 0.9
            assert not row.bad
        elif row.present:
            assert row.iou == 0.0
            assert row.bad
        else:
            assert row.iou == 1.0
            assert not row.bad
    rows_of_tiles = 4
    assert cv2.imread(str(path)).shape == (
        GAP_PX + rows_of_tiles * (TILE_PX + CAPTION_PX + GAP_PX), GAP_PX + 5 * (TILE_PX + GAP_PX), 3
    )  # fmt: skip


def test_bad_tiles_alone_have_a_red_frame(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    rows = held_out_sheet(RedModel(), load_datasets(folder), path, count=20)
    sheet = cv2.imread(str(path))[..., ::-1]
    for index, row in enumerate(rows):
        y = GAP_PX + index // 5 * (TILE_PX + CAPTION_PX + GAP_PX)
        x = GAP_PX + index % 5 * (TILE_PX + GAP_PX)
        assert (tuple(int(v) for v in sheet[y, x]) == BAD) == row.bad, row


def test_every_fifth_question_is_of_an_absent_thing_and_none_comes_twice(folder: Path) -> None:
    asked = questions(load_datasets(folder), count=30, seed=1)
    assert len({(q.picture.image, q.concept) for q in asked}) == 30
    absent = [q for q in asked if not q.present]
    assert len(absent) >= 6
    assert all(q.concept in q.dataset.policy.elsewhere for q in absent)
    held_out = {p.image for d in load_datasets(folder) for p in d.split()[1]}
    assert all(q.picture.image in held_out for q in asked)


def test_the_seed_chooses_the_questions(folder: Path) -> None:
    def chosen(seed: int) -> list[tuple[str, str, str]]:
        asked = questions(load_datasets(folder), count=12, seed=seed)
        return [(q.dataset.name, q.picture.image.name, q.concept) for q in asked]

    assert chosen(3) == chosen(3)
    assert chosen(3) != chosen(4)


def test_fewer_questions_than_wished_for_are_asked_once_each(folder: Path) -> None:
    sets = [d for d in load_datasets(folder) if d.name == "weizmann_horse"]
    asked = questions(sets, count=1000, seed=0)
    assert sum(q.present for q in asked) == HELD_OUT
    assert len(asked) == HELD_OUT * (1 + len(sets[0].policy.elsewhere))


def test_without_held_out_pictures_it_says_so(folder: Path, tmp_path: Path) -> None:
    for index in range(34, 40):
        for root in folder.iterdir():
            (root / "images" / f"{index}.png").unlink()
    with pytest.raises(DataError, match="held-out"):
        held_out_sheet(RedModel(), load_datasets(folder), tmp_path / "sheet.png")


def test_an_absent_thing_that_is_keyed_is_bad() -> None:
    row = SheetRow(dataset="a", file="b", prompt="c", present=False, iou=0.0, confidence=0.8)
    assert row.bad


def test_below_the_confidence_floor_nothing_is_keyed() -> None:
    pixels = np.zeros((*SIZE_HW, 3), np.uint8)
    pixels[:24, :32] = (230, 20, 20)
    matte, confidence = keyed(RedModel(), pixels, "car")
    assert confidence == 0.9
    assert matte.mean() == pytest.approx(0.25, abs=0.02)
    matte, confidence = keyed(RedModel(), pixels, "submarine")
    assert confidence == 0.1
    assert not matte.any()


@pytest.mark.parametrize("size_hw", [(300, 40), (40, 300), (900, 900), (1, 64)])
def test_panels_are_squares_with_the_whole_picture(size_hw: tuple[int, int]) -> None:
    pixels = np.full((*size_hw, 3), 200, np.uint8)
    matte = np.zeros(size_hw, np.bool_)
    matte[:, : size_hw[1] // 2] = True
    square = panel(pixels, matte=matte, truth=matte, tint=(0, 0, 255), side_px=100)
    assert square.shape == (100, 100, 3)
    assert (square[50, 45] != square[50, 55]).any() or size_hw == (1, 64)


def test_tiles_lie_in_rows() -> None:
    tiles = [framed(np.full((20, 30, 3), 9 * i, np.uint8)) for i in range(5)]
    sheet = grid(tiles, columns=2)
    assert sheet.shape == (GAP_PX + 3 * (20 + GAP_PX), GAP_PX + 2 * (30 + GAP_PX), 3)
    assert sheet[GAP_PX + 10 + 20 + GAP_PX, GAP_PX + 15, 0] == 18
