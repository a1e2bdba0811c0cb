"""Training of the projection between small random networks, on pictures made here."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from promptmatte.cli import main
from promptmatte.errors import ConfigError, DataError
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.prompters.projection import ProjectionPrompter
from promptmatte.models.prompters.projection_weights import load_projection
from promptmatte.models.prompters.protocol import SamClipFeatures
from promptmatte.models.sam import SamNetwork
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.datasets import load_dataset, load_datasets
from promptmatte.training.projection import ProjectionConfig, ProjectionTrainer
from promptmatte.training.projection_features import FeatureStore, Variant
from promptmatte.training.projection_regions import GREY, Region, regions_of
from promptmatte.training.projection_results import write_results
from promptmatte.training.projection_samples import BatchSource, Looks, Names, ProjectionBatch
from promptmatte.training.samples import read_labelled
from tiny_clip import tiny_clip
from tiny_sam import tiny_sam

COLOURS = {1: (230, 30, 20), 2: (30, 200, 40)}
NAMES = {"0": "background", "1": "car", "2": "tree", "9": "void (ignore)"}


def write_squares(folder: Path, count: int) -> Path:
    """A red square (car) at the left of noise, every other picture with a green one (tree) at
    the right; the top rows are void."""
    rng = np.random.default_rng(3)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        pixels = rng.integers(60, 120, (48, 64, 3), np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        mask[:3] = 9
        for label in (1, 2)[: 1 + index % 2]:
            top, left = rng.integers(4, 20), rng.integers(0, 6) + 34 * (label - 1)
            window = (slice(top, top + 24), slice(left, left + 24))
            pixels[window], mask[window] = COLOURS[label], label
        cv2.imwrite(str(folder / "images" / f"{index:03}.png"), pixels[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{index:03}.png"), mask)
    (folder / "classes.json").write_text(json.dumps({"classes": NAMES, "ignore": [9]}))
    return folder


class Pair(NamedTuple):
    sam: SamNetwork
    clip: ClipNetwork


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    sam = SamNetwork(tiny_sam(), kind="sam-vit-b", device="cpu")
    return Pair(sam, tiny_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("data") / "squares", 40)


@pytest.fixture(scope="module")
def features(pair: Pair, squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with the features of all training pictures."""
    folder = tmp_path_factory.mktemp("run")
    trainer(pair, squares, folder).encode(progress=lambda done, count: None)
    return folder / "features"


def trainer(pair: Pair, data: Path, folder: Path, **changes: object) -> ProjectionTrainer:
    settings = {"steps": 4, "text_steps": 4, "batch": 2, "queries": 2, "variants": 1} | changes
    return ProjectionTrainer(
        sam=pair.sam, clip=pair.clip, datasets=load_datasets(data), folder=folder,
        config=ProjectionConfig(**settings), device="cpu",
    )  # fmt: skip


def copied(features: Path, folder: Path) -> Path:
    shutil.copytree(features, folder / "features")
    return folder


def nothing_told(step: int, loss: float) -> None:
    pass


def test_training_learns_and_knows_what_is_absent(
    pair: Pair, squares: Path, features: Path, tmp_path: Path
) -> None:
    run = trainer(
        pair, squares, copied(features, tmp_path), steps=0, text_steps=55, batch=4,
        learning_rate=3e-3,
    )  # fmt: skip
    run.run(progress=nothing_told)
    assert np.mean(run.losses[-15:]) < 0.75 * np.mean(run.losses[:15])
    seen = []
    path = write_results(
        run, sam=pair.sam, clip=pair.clip, datasets=load_datasets(squares), folder=tmp_path,
        progress=lambda: seen.append(1),
    )  # fmt: skip
    assert len(seen) == 6
    assert "squares" in (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["concepts"]["car"]["n"] == 6
    prompter = ProjectionPrompter.load(path, sam=pair.sam, clip=pair.clip)
    present, absent = confidences(prompter, pair, squares)
    assert present > 0.1
    assert absent < 0.75 * present


def test_text_alone_is_trained_too(
    pair: Pair, squares: Path, features: Path, tmp_path: Path
) -> None:
    run = trainer(
        pair, squares, copied(features, tmp_path), steps=4, text_steps=8, image_conditioned=False,
        learning_rate=3e-3,
    )  # fmt: skip
    before = run.network.text_projection.layers[0].weight.detach().clone()
    run.run(progress=nothing_told)
    assert np.mean(run.losses[-4:]) < np.mean(run.losses[:4])
    assert (run.network.text_projection.layers[0].weight - before).abs().max() > 1e-3
    path = run.write_weights()
    network = load_projection(path, fit=run.fit)
    assert not network.architecture.image_conditioned
    assert not hasattr(network, "keys")


def confidences(prompter: ProjectionPrompter, pair: Pair, data: Path) -> tuple[float, float]:
    """Mean confidence of the car, which is in every picture, and of words for nothing in any."""
    prompts = PromptSet(prompts=tuple(Prompt(text=t) for t in ("car", "dragon", "volcano")))
    found = []
    for picture in load_dataset(data).split()[1]:
        pixels = read_labelled(load_dataset(data), picture, long_side=64).pixels
        sam = pair.sam.encode(pixels)
        rows, columns = sam.grid_hw
        dense = pair.clip.dense(pixels, guide=sam.embedding[..., :rows, :columns])
        seen = SamClipFeatures(sam=sam, clip=dense)
        found.append(prompter.decode(seen, prompts, prompter.embed(prompts)).confidence)
    car, dragon, volcano = np.mean(found, axis=0)
    return float(car), float(max(dragon, volcano))


def test_a_stopped_run_ends_as_one_that_was_not(
    pair: Pair, squares: Path, features: Path, tmp_path: Path
) -> None:
    whole = trainer(pair, squares, copied(features, tmp_path / "whole"))
    whole.run(progress=nothing_told)
    folder = copied(features, tmp_path / "parts")

    class StoppedError(Exception):
        pass

    def stop_at_five(step: int, loss: float) -> None:
        if step == 5:
            raise StoppedError

    first = trainer(pair, squares, folder, save_every=3)
    with pytest.raises(StoppedError):
        first.run(progress=stop_at_five)
    second = trainer(pair, squares, folder)
    assert second.step == 3
    steps: list[int] = []
    second.run(progress=lambda step, loss: steps.append(step))
    assert steps == [4, 5, 6, 7, 8]
    np.testing.assert_allclose(second.losses, whole.losses, rtol=1e-5)
    for name, value in whole.averaged().state_dict().items():
        torch.testing.assert_close(second.averaged().state_dict()[name], value)


def test_the_first_stage_needs_no_names(pair: Pair, squares: Path, tmp_path: Path) -> None:
    data = tmp_path / "data" / "nameless"
    shutil.copytree(squares, data)
    (data / "classes.json").unlink()
    run = trainer(pair, data, tmp_path / "run", steps=3, text_steps=0)
    run.run(progress=nothing_told)
    assert run.step == 3
    assert np.isfinite(run.losses).all()


def test_a_run_for_other_networks_is_not_gone_on_with(
    pair: Pair, squares: Path, features: Path, tmp_path: Path
) -> None:
    folder = copied(features, tmp_path)
    trainer(pair, squares, folder).save()
    other = SamNetwork(tiny_sam(4), kind="sam-vit-l", device="cpu")
    with pytest.raises(ConfigError, match=r"sam-vit-l .*another --out folder"):
        trainer(Pair(other, pair.clip), squares, folder)
    with pytest.raises(ConfigError, match="another --out folder"):
        trainer(pair, squares, folder, image_conditioned=False)


def test_features_are_made_once_and_damaged_ones_anew(
    pair: Pair, squares: Path, features: Path, tmp_path: Path
) -> None:
    store = FeatureStore(copied(features, tmp_path) / "features", sam=pair.sam, clip=pair.clip,
                         seed=0)  # fmt: skip
    dataset = load_dataset(squares)
    variants = [Variant(dataset=dataset, picture=p, index=0) for p in dataset.split()[0]]
    before = [store.path(v).stat().st_mtime_ns for v in variants]
    one = store.read(variants[0])
    store.path(variants[0]).write_bytes(b"cut off")
    told: list[tuple[int, int]] = []
    store.fill(variants, lambda done, count: told.append((done, count)))
    assert told == [(33, 34), (34, 34)]
    assert [store.path(v).stat().st_mtime_ns for v in variants[1:]] == before[1:]
    again = store.read(variants[0])
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.vectors, again.vectors)


def test_features_are_what_the_networks_say_of_the_picture(
    pair: Pair, squares: Path, features: Path
) -> None:
    dataset = load_dataset(squares)
    variant = Variant(dataset=dataset, picture=dataset.pictures[1], index=0)
    stored = FeatureStore(features, sam=pair.sam, clip=pair.clip, seed=0).read(variant)
    labelled = read_labelled(dataset, variant.picture, long_side=64)
    direct = pair.sam.encode(labelled.pixels)
    np.testing.assert_allclose(stored.image, direct.embedding[0].numpy(), atol=2e-2)
    assert stored.clip.shape == (pair.clip.dim, *direct.grid_hw)
    assert stored.labels.shape == direct.mask_hw
    assert set(np.unique(stored.labels)) == {0, 1, 2, 9}
    assert len(stored.regions) == len(stored.vectors) == 2
    np.testing.assert_allclose(np.linalg.norm(stored.vectors, axis=1), 1, atol=1e-2)


def test_a_disk_without_room_is_told_before_it_is_full(
    pair: Pair, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"room for features .*fewer --variants"):
        trainer(pair, squares, tmp_path).encode(progress=lambda done, count: None)


def test_names_ask_only_what_the_data_set_tells(pair: Pair, squares: Path, features: Path) -> None:
    dataset = load_dataset(squares)
    phrases = Names.phrases([dataset], seed=0)
    assert {"car", "tree", "dragon"} <= set(phrases)
    assert phrases["car"][0] == "car"
    assert len(phrases["car"]) > 3
    words = {c: np.full((1, 3), i, np.float32) for i, c in enumerate(sorted(phrases))}
    own = {words["car"][0, 0], words["tree"][0, 0]}
    store = FeatureStore(features, sam=pair.sam, clip=pair.clip, seed=0)
    variant = Variant(dataset=dataset, picture=dataset.pictures[0], index=0)
    encoded = store.read(variant)
    queries = Names(words).queries(variant, encoded, 60, np.random.default_rng(1))
    present = [query for query in queries if query.present]
    assert 0.3 < len(present) / len(queries) < 0.7
    assert {query.word[0] for query in present} == {words["car"][0, 0]}
    # The set does not say that trees are absent, nor what the void is.
    assert own.isdisjoint(query.word[0] for query in queries if not query.present)
    assert not any(query.valid[encoded.labels == 9].any() for query in present)


def test_names_do_not_call_absent_what_may_be_in_the_background(
    pair: Pair, squares: Path, features: Path
) -> None:
    dataset = load_dataset(squares)
    store = FeatureStore(features, sam=pair.sam, clip=pair.clip, seed=0)
    encoded = store.read(Variant(dataset=dataset, picture=dataset.pictures[0], index=0))
    phrases = Names.phrases([dataset], seed=0)
    words = {c: np.full((1, 3), i, np.float32) for i, c in enumerate(sorted(phrases))}

    def absent(*bystanders: str) -> set[float]:
        policy = replace(dataset.policy, dense=True, bystanders=bystanders)
        changed = replace(dataset, policy=policy)
        variant = Variant(dataset=changed, picture=dataset.pictures[0], index=0)
        queries = Names(words).queries(variant, encoded, 60, np.random.default_rng(1))
        return {float(query.word[0]) for query in queries if not query.present}

    assert words["tree"][0, 0] in absent()
    assert words["tree"][0, 0] not in absent("tree")


def test_looks_stand_in_for_words(pair: Pair, squares: Path, features: Path) -> None:
    dataset = load_dataset(squares)
    store = FeatureStore(features, sam=pair.sam, clip=pair.clip, seed=0)
    variants = [Variant(dataset=dataset, picture=p, index=0) for p in dataset.split()[0]]
    looks = Looks({v: store.vectors(v) for v in variants}, noise=0.5, seed=0)
    rng = np.random.default_rng(2)
    encoded = store.read(variants[1])
    queries = looks.queries(variants[1], encoded, 60, rng)
    present = [query for query in queries if query.present]
    assert 0.3 < len(present) / len(queries) < 0.7
    np.testing.assert_allclose([np.linalg.norm(q.word) for q in queries], 1, atol=1e-5)
    masks = {query.target.tobytes() for query in present}
    assert masks == {region.tobytes() for region in encoded.regions}
    labelled = encoded.regions.any(axis=0)
    for query in queries:
        assert query.valid[query.target].all()
        # Nothing is known of what is not labelled when a thing is said to be absent.
        assert query.present or not query.valid[~labelled].any()


def test_a_batch_knows_nothing_of_the_padding(pair: Pair, squares: Path, features: Path) -> None:
    dataset = load_dataset(squares)
    store = FeatureStore(features, sam=pair.sam, clip=pair.clip, seed=0)
    variants = [Variant(dataset=dataset, picture=p, index=0) for p in dataset.split()[0]]
    looks = Looks({v: store.vectors(v) for v in variants}, noise=0.5, seed=0)
    source = BatchSource(store=store, variants=variants, looks=looks, names=Names({}))

    def drawn(seed: int) -> ProjectionBatch:
        return source.draw(np.random.default_rng(seed), pictures=3, queries=2, by_name=False)

    batch = drawn(5)
    assert batch.rows.tolist() == [0, 0, 1, 1, 2, 2]
    assert batch.features.image.shape == (3, 32, 4, 4)
    assert batch.target.shape == batch.valid.shape == (6, 16, 16)
    assert not batch.valid[:, 12:].any()
    assert not batch.features.inside[:, :, 3:].any()
    assert torch.equal(batch.words, drawn(5).words)
    assert not torch.equal(batch.words, drawn(6).words)


def test_a_thing_is_shown_sharp_in_the_middle_of_a_blurred_grey(squares: Path) -> None:
    dataset = load_dataset(squares)
    labelled = read_labelled(dataset, dataset.pictures[1], long_side=64)
    regions = regions_of(labelled, random.Random(0))
    assert [int(region.mask.sum()) for region in regions] == [24 * 24] * 2
    car = next(r for r in regions if r.mask[:, :30].any())
    crop = Region(pixels=car.pixels, mask=car.mask, margin=1.5).crop(60)
    assert crop.shape == (60, 60, 3)
    assert np.abs(crop[25:35, 25:35].astype(int) - COLOURS[1]).max() < 8
    corner = crop[:6, :6].astype(int)
    assert np.abs(corner - GREY).max() < 40
    assert corner.std() < 12


def test_settings_that_cannot_be_are_refused() -> None:
    for changes in ({"steps": 0, "text_steps": 0}, {"steps": -1}, {"batch": 0}, {"variants": 0}):
        with pytest.raises(ConfigError, match=r"at least 1|0 or more"):
            ProjectionConfig(**changes)


def test_the_command_trains_from_local_files(squares: Path, tmp_path: Path) -> None:
    tiny_clip(tmp_path / "clip")
    torch.save(tiny_sam().state_dict(), tmp_path / "sam.pth")
    out = tmp_path / "out"
    arguments = [
        "train", "projection", "--data", str(squares), "--sam-weights", str(tmp_path / "sam.pth"),
        "--clip", f"local-dir:{tmp_path / 'clip'}", "--out", str(out), "--steps", "1",
        "--text-steps", "1", "--batch", "1", "--variants", "1", "--device", "cpu",
    ]  # fmt: skip
    assert main(arguments) == 0
    assert (out / "projection.safetensors").is_file()
    assert (out / "MODEL_CARD.md").is_file()
