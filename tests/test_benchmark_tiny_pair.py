"""The benchmark of the tiny pair: all of it in a few steps, and what its figures rest on."""

from __future__ import annotations

import copy
import importlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from promptmatte.models.embedded_network import EmbeddedNetwork
from promptmatte.models.protocol import Decoded
from promptmatte.training.datasets import load_datasets

PICTURES = 40
SIDE_HW = (48, 64)


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the benchmark by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return lambda name: importlib.import_module(f"benchmarks.tiny_pair.{name}")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one data set of drawn balls (label 1) and bushes (label 2)."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "shapes"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(PICTURES):
        pixels = rng.integers(0, 60, (*SIDE_HW, 3), dtype=np.uint8)
        labels = np.zeros(SIDE_HW, np.uint8)
        for label, colour in ((1, (200, 30, 30)), (2, (30, 200, 30))):
            if label == 1 or rng.random() < 0.6:
                middle = int(rng.integers(12, 52)), int(rng.integers(12, 36))
                cv2.circle(pixels, middle, 9, colour, -1)
                cv2.circle(labels, middle, 9, label, -1)
        cv2.imwrite(str(folder / "images" / f"{index:03d}.png"), pixels[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{index:03d}.png"), labels)
    classes = {"classes": {"0": "background", "1": "ball", "2": "bush"}}
    (folder / "classes.json").write_text(json.dumps(classes), encoding="utf-8")
    return root


def test_trains_measures_and_goes_on_where_it_stopped(
    part: Any, shapes: Path, tiny_weights: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "pair"
    asked = ["--quick", "--data", str(shapes), "--out", str(out), "--embedded", str(tiny_weights)]
    main = part("__main__").main
    main(asked)
    result = json.loads(capsys.readouterr().out)
    assert {"embedded", "dense", "projection", "projection, text only", "random token"} <= set(
        result["scores"]
    )
    for name, row in result["scores"].items():
        assert row["present_n"] > 0, name
        assert 0.0 <= row["iou"] <= 1.0, name
    assert result["scores"]["oracle box"]["auc"] in (1.0, None)
    assert "dense / random token" in result["ratios"]
    assert list((out / "sheets").glob("*.png"))
    assert "| dense |" in (out / "table.md").read_text(encoding="utf-8")

    trained = {p: p.stat().st_mtime_ns for p in (out / "sam.pt", *out.glob("clip/*.safetensors"))}
    main([*asked, "--stage", "clip", "--stage", "sam"])
    assert {p: p.stat().st_mtime_ns for p in trained} == trained


def test_labels_say_what_is_there_absent_and_unknown(part: Any, shapes: Path) -> None:
    dataset = load_datasets(shapes)[0]
    shown, absent = part("crops").label_table(dataset, ["ball", "bush", "horse"])
    assert shown[1].tolist() == [True, False, False]
    # The set does not say that all of its things are labelled, but a ball's pixel is no horse.
    assert absent[1].tolist() == [False, True, True]
    assert not shown[0].any()
    assert not absent[0].any()


def test_a_patch_has_the_label_that_covers_most_of_it(part: Any) -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[:4, :4] = 7
    labels[:4, 4:6] = 3
    assert part("crops").majority(labels, 4).tolist() == [7, -1, 0, 0]


def test_contrast_leaves_out_the_unknown(part: Any) -> None:
    logits = torch.tensor([[2.0, 0.0, 9.0]])
    shown = torch.tensor([[True, False, False]])
    absent = torch.tensor([[False, True, False]])
    contrast = part("clip").contrast
    assert contrast(logits, shown, absent).item() == pytest.approx(np.log1p(np.exp(-2.0)), abs=1e-5)
    assert contrast(logits, shown & False, absent).item() == 0.0


def test_requests_point_at_the_thing(part: Any) -> None:
    regions = part("regions")
    thing = np.zeros((40, 60), np.bool_)
    thing[10:30, 20:50] = True
    rng = random.Random(0)
    for _ in range(20):
        x, y = regions.inner_point(thing, rng)
        assert thing[int(y), int(x)]
        left, top, right, bottom = regions.jittered_box(thing, rng)
        assert left < right
        assert top < bottom
    assert regions.inner_middle(thing)[1] in (19.0, 20.0)


def test_the_tiny_sam_sees_by_the_embedded_models_network(
    part: Any, tiny_network: EmbeddedNetwork, tmp_path: Path
) -> None:
    sam = part("sam")
    made = sam.new_tiny_sam(copy.deepcopy(tiny_network), 64)
    stem = made.image_encoder.patch_embed
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        cells = stem(pixels)
        vectors = tiny_network.encode_image(pixels * stem.std + stem.mean).pixels
    dim = tiny_network.architecture.dim
    assert cells.shape == (1, 4, 4, 16 * dim)
    row, column = 1, 2
    window = vectors[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
    torch.testing.assert_close(cells[0, row, column].view(dim, 4, 4), window)
    assert not any(value.requires_grad for value in stem.parameters())
    assert all(value.requires_grad for value in made.image_encoder.neck.parameters())
    sam.save_tiny_sam(made, tmp_path / "sam.pt")
    again = sam.load_tiny_sam(tmp_path / "sam.pt")
    with torch.inference_mode():
        ours = made.image_encoder(pixels)
        torch.testing.assert_close(again.image_encoder(pixels), ours)


def test_what_may_be_in_the_background_is_not_called_absent(part: Any, shapes: Path) -> None:
    dataset = load_datasets(shapes)[0]

    def told(*bystanders: str) -> tuple[set[str], bool]:
        """The absent things asked for, and whether any crop is said to show no bush."""
        policy = replace(dataset.policy, dense=True, bystanders=bystanders)
        changed = replace(dataset, policy=policy)
        cases = part("held_out").held_out_cases([changed], count=PICTURES, seed=0)
        absent = {q.text for case in cases for q in case.questions if not q.present}
        crops = part("crops").Crops(
            part("crops").training_pictures([changed], long_side_px=64),
            ["ball", "bush"], side_px=32, patch_px=16, seed=0,
        )  # fmt: skip
        return absent, any(crops.draw().absent[1] for _ in range(40))

    assert told() == ({"bush"}, True)
    assert told("bush") == (set(), False)


def test_scores_count_absent_things_by_their_silence(part: Any) -> None:
    held_out, table = part("held_out"), part("table")
    truth = np.zeros((16, 16), np.bool_)
    truth[:8] = True
    known = np.ones_like(truth)
    case = held_out.Case(
        dataset="set",
        name="one",
        pixels=np.zeros((16, 16, 3), np.uint8),
        questions=[
            held_out.Question(text="there", truth=truth, known=known),
            held_out.Question(text="not there", truth=~known, known=known),
        ],
    )
    found = np.where(truth, 5.0, -5.0).astype(np.float32)
    score = table.Score()
    score.add(case, Decoded(logits=np.stack([found, found]), confidence=(0.9, 0.1)))
    score.add(case, Decoded(logits=np.stack([found, found]), confidence=(0.2, 0.8)))
    summary = score.summary()
    assert summary["iou"] == pytest.approx(1.0)
    assert summary["iou_kept"] == pytest.approx(0.5)
    assert summary["absent_silent"] == pytest.approx(0.5)
    assert summary["auc"] == pytest.approx(0.75)
