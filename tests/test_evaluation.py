"""promptmatte eval: overlap and silence, by the product's own mattes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from promptmatte.cli import main
from promptmatte.errors import ConfigError, DataError
from promptmatte.evaluation import LabelledPrompt, iou, read_mask


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures in two clips: id 1 in three of them, id 9 to be ignored."""
    for index in range(4):
        clip = f"clip{index % 2}"
        for kind in ("images", "masks"):
            (tmp_path / kind / clip).mkdir(parents=True, exist_ok=True)
        mask = np.full((40, 60), 9, np.uint8)
        mask[:, :50] = 0
        if index:
            mask[10:30, 10:30] = 1
        pixels = np.random.default_rng(index).integers(0, 256, (40, 60, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / clip / f"{index}.jpg"), pixels)
        cv2.imwrite(str(tmp_path / "masks" / clip / f"{index}.png"), mask)
    content = {"classes": {"0": "background", "1": "thing", "9": "void"}, "ignore": [9]}
    (tmp_path / "classes.json").write_text(json.dumps(content))
    return tmp_path


def test_result_has_the_agreed_shape(pictures: Path, tiny_weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ["eval", str(pictures), "--prompt", "thing=1", "--prompt", "everything=0,1",
                 "--weights", str(tiny_weights), "--device", "cpu", "--json", str(out)]  # fmt: skip
    assert main(arguments) == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert (result["model"], result["device"]) == ("embedded", "cpu")
    assert result["ms_per_image"] > 0
    thing = result["prompts"]["thing"]
    assert (thing["n"], thing["absent_n"]) == (3, 1)
    assert 0 <= thing["miou"] <= 1
    assert thing["absent_empty"] in (0.0, 1.0)
    everything = result["prompts"]["everything"]
    assert (everything["n"], everything["absent_n"], everything["absent_empty"]) == (4, 0, None)


def test_stride_and_limit_choose_pictures(
    pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    arguments = ["eval", str(pictures), "--prompt", "thing=1", "--stride", "2", "--limit", "1",
                 "--weights", str(tiny_weights), "--device", "cpu", "--json", str(out)]  # fmt: skip
    assert main(arguments) == 0
    thing = json.loads(out.read_text(encoding="utf-8"))["prompts"]["thing"]
    assert thing["n"] + thing["absent_n"] == 1


def test_prompts_with_ids_are_parsed() -> None:
    parsed = LabelledPrompt.parse("a=b=1,22")
    assert (parsed.prompt.text, parsed.labels) == ("a=b", (1, 22))
    for bad in ("person", "=1", "sky=", "sky=x", "sky=-1", "sky=256", "sky=1,,2"):
        with pytest.raises(ConfigError, match="expected TEXT=IDS"):
            LabelledPrompt.parse(bad)


def test_iou_of_masks() -> None:
    one, two = np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    assert iou(one, two) == 1.0
    one[:2], two[1:3] = True, True
    assert iou(one, two) == pytest.approx(1 / 3)


def test_a_broken_mask_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"mask\.png"):
        read_mask(path)
