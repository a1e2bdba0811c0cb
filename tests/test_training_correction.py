import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from promptmatte.errors import ConfigError, DataError
from promptmatte.matte.correction_engine import OnnxCorrection, load_correction
from promptmatte.matte.correction_weights import load_correction_network
from promptmatte.training.clip_store import ClipStore, StoredClip, drawn_clip, rendered
from promptmatte.training.correction import CorrectionConfig, CorrectionTrainer
from promptmatte.training.correction_samples import degraded, draw_batch
from promptmatte.training.cut_outs import Photographs, shipped_things
from promptmatte.training.moving_clips import Hardness, MovingClip


@pytest.fixture
def photographs(tmp_path: Path) -> Photographs:
    """The shipped cut-outs as a data set of horses, on both sides of the split."""
    folder = tmp_path / "data" / "weizmann_horse"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    things, _ = shipped_things()
    for index in range(8):
        thing = things[index % 2]
        for kind, pixels in (("images", thing.colours), ("masks", thing.alpha > 0.5)):
            suffix = ".jpg" if kind == "images" else ".png"
            array = np.asarray(pixels, np.uint8) * (255 if kind == "masks" else 1)
            packed = cv2.imencode(suffix, array)[1]
            (folder / kind / f"{index}{suffix}").write_bytes(packed.tobytes())
    return Photographs.of(tmp_path / "data", held_out=False)


@pytest.fixture
def clip() -> StoredClip:
    things, grounds = shipped_things()
    calm = Hardness(speed=0.4, pan=0.2, swing=0.2, blur=0.0, occluder=0.0, leaving=0.0)
    moving = MovingClip(1, things=things[:1], backgrounds=grounds[:1], hardness=calm)
    return StoredClip.of(*rendered(moving, frames=30))


def test_a_seed_gives_the_same_clip_and_another_another(photographs: Photographs) -> None:
    first, again, other = (drawn_clip(photographs, seed).frame_at(5) for seed in (4, 4, 5))
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(first[0], other[0])


def test_the_truth_is_where_the_thing_is() -> None:
    things, grounds = shipped_things()
    plain = [np.full_like(grounds[0], 90)]
    still = Hardness(swing=0.0, blur=0.0, occluder=0.0, strobe=0.0, shake=0.0, leaving=0.0)
    clip = MovingClip(3, things=things[:1], backgrounds=plain, hardness=still)
    pixels, truth = clip.frame_at(10)
    assert 0.02 < truth.mean() < 0.9
    ground = np.median(pixels[truth == 0], axis=0)
    away = np.abs(pixels.astype(int) - ground).max(axis=-1)
    assert np.median(away[truth > 0.99]) > 20
    assert np.percentile(away[truth == 0], 95) < 40


def test_held_out_photographs_are_apart(tmp_path: Path, photographs: Photographs) -> None:
    held_out = Photographs.of(tmp_path / "data", held_out=True)
    ours, theirs = (set(p.things["weizmann_horse"]) for p in (photographs, held_out))
    assert len(ours) == 7
    assert len(theirs) == 1
    assert not ours & theirs
    with pytest.raises(DataError, match="found none"):
        Photographs.of(tmp_path / "nothing", held_out=False)


def test_clips_are_rendered_once_and_a_damaged_file_anew(
    tmp_path: Path, photographs: Photographs
) -> None:
    store = ClipStore(tmp_path / "clips", photographs, count=1)
    done: list[int] = []
    (first,) = store.all(lambda: done.append(1))
    path = tmp_path / "clips" / "00000.npz"
    written = path.stat().st_mtime_ns
    store.clip(0)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:1000])
    again = store.clip(0)
    assert done == [1]
    assert np.array_equal(first.pictures, again.pictures)
    assert np.array_equal(first.truths, again.truths)


def test_stored_motion_carries_the_truth(clip: StoredClip) -> None:
    now = cv2.remap(clip.truths[0], clip.origins(0, 6), None, cv2.INTER_LINEAR)
    found, real = now >= 128, clip.truths[6] >= 128
    stale = clip.truths[0] >= 128
    moved = (found & real).sum() / (found | real).sum()
    assert moved > 0.85
    assert moved > (stale & real).sum() / (stale | real).sum() + 0.05


def test_a_batch_has_the_shapes_and_ranges_that_the_network_wants(clip: StoredClip) -> None:
    batch = draw_batch(np.random.default_rng(0), [clip], size=3)
    _, height, width = clip.truths.shape
    assert batch.anchor.shape == (3, 3, height, width)
    assert batch.anchor_mask.shape == (3, height, width)
    for step in batch.steps:
        assert step.evidence.shape == (3, 4, height, width)
        assert step.origin.shape == (3, 2, height // 8, width // 8)
        assert step.evidence[:, :3].abs().max() <= 1
        assert 0 <= step.evidence[:, 3].min() <= step.evidence[:, 3].max() <= 1
        assert 0 <= step.truth.min() <= step.truth.max() <= 1


def test_degraded_masks_stay_masks() -> None:
    disc = cv2.circle(np.zeros((144, 256), np.float32), (128, 72), 40, 1.0, -1)
    rng = np.random.default_rng(0)
    worse = [degraded(rng, disc) for _ in range(40)]
    assert all(mask.min() >= 0 and mask.max() <= 1 for mask in worse)
    overlaps = [(mask > 0.5) & (disc > 0.5) for mask in worse]
    assert min(o.sum() / (disc > 0.5).sum() for o in overlaps) > 0.7
    assert len({mask.tobytes() for mask in worse}) > 20


def test_training_learns_goes_on_and_writes_weights(tmp_path: Path, clip: StoredClip) -> None:
    config = CorrectionConfig(steps=12, batch=2, clips=1, save_every=6, learning_rate=3e-3)
    first = CorrectionTrainer(folder=tmp_path, config=config, device="cpu")

    class StoppedError(Exception):
        pass

    def stop_at_eight(step: int, loss: float) -> None:
        if step == 8:
            raise StoppedError

    with pytest.raises(StoppedError):
        first.run([clip], progress=stop_at_eight)
    second = CorrectionTrainer(folder=tmp_path, config=config, device="cpu")
    assert second.step == 6
    steps: list[int] = []
    second.run([clip], progress=lambda step, loss: steps.append(step))
    assert steps == [7, 8, 9, 10, 11, 12]
    losses = json.loads((tmp_path / "losses.json").read_text())
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    weights = second.write_weights()
    assert isinstance(load_correction(weights=weights), OnnxCorrection)
    network = load_correction_network(weights)
    parameters = dict(network.named_parameters())
    assert all(torch.isfinite(value).all() for value in parameters.values())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    state = {"network": {"other": torch.zeros(1)}, "optimizer": {}, "step": 1, "losses": []}
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigError, match="another --out folder"):
        CorrectionTrainer(folder=tmp_path, config=CorrectionConfig(), device="cpu")
