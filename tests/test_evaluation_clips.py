"""Clips and their truth, as they lie in folders."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.errors import ConfigError, DataError
from promptmatte.evaluation.clips import LabelledFrames, read_clips
from promptmatte.evaluation.oracle import OracleModel
from promptmatte.evaluation.truth import LabelledPrompt, read_mask
from promptmatte.prompts import PromptSet

THING = LabelledPrompt.parse("thing=1,2")
OTHER = LabelledPrompt.parse("other=5")


def put(folder: Path, kind: str, name: str, pixels: npt.NDArray[np.uint8]) -> None:
    path = folder / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def put_frame(folder: Path, name: str, *, masked: bool = True) -> None:
    put(folder, "images", f"{name}.jpg", np.zeros((20, 40, 3), np.uint8))
    if masked:
        put(folder, "masks", f"{name}.png", np.zeros((20, 40), np.uint8))


def test_every_folder_is_a_clip_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for name in ("cat/f10", "cat/f9", "dog/slow/1"):
        put_frame(tmp_path, name)
    put_frame(tmp_path, "cat/f2", masked=False)
    put_frame(tmp_path, "bare/1", masked=False)
    cat, dog = read_clips(tmp_path)
    assert (cat.name, dog.name) == ("cat", "dog/slow")
    assert [path.name for path in cat.images] == ["f2.jpg", "f9.jpg", "f10.jpg"]
    assert [mask is not None for mask in cat.masks] == [False, True, True]
    assert read_clips(tmp_path, names=["dog/slow"]) == [dog]
    assert [len(clip.images) for clip in read_clips(tmp_path, limit=2)] == [2, 1]
    with pytest.raises(ConfigError, match="a clip of cat, dog/slow; got 'cow'"):
        read_clips(tmp_path, names=["cow"])


def test_a_flat_folder_is_one_clip(tmp_path: Path) -> None:
    put_frame(tmp_path / "park", "1")
    assert [clip.name for clip in read_clips(tmp_path / "park")] == ["park"]


def test_a_folder_without_pairs_is_named(tmp_path: Path) -> None:
    put_frame(tmp_path, "cat/1", masked=False)
    with pytest.raises(DataError, match="found no pair"):
        read_clips(tmp_path)


def test_truth_has_the_size_of_the_picture_and_knows_what_to_ignore(tmp_path: Path) -> None:
    labels = np.zeros((10, 20), np.uint8)
    labels[2:6, 3:9], labels[8:, :], labels[0, 0] = 2, 9, 5
    put(tmp_path, "images", "a/1.jpg", np.zeros((20, 40, 3), np.uint8))
    put(tmp_path, "masks", "a/1.png", labels)
    (clip,) = read_clips(tmp_path)
    frames = LabelledFrames(clip, [THING, OTHER], ignore=[9], fps=25)
    truth = frames.truth(0)
    assert truth.planes.shape == (2, 20, 40)
    assert truth.planes.sum(axis=(1, 2)).tolist() == [8 * 12, 4]
    assert truth.planes[0, 4:12, 6:18].all()
    assert truth.known.sum() == 16 * 40
    assert frames.time_ns(1) == 40_000_000


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def test_a_palette_mask_gives_its_indices(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2], [2, 3, 0]], np.uint8)
    palette = bytes([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", bytes([0, 0, 0, 3, 0, 0, 0, 2, 8, 3, 0, 0, 0])),
            chunk(b"PLTE", palette),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )
    (tmp_path / "mask.png").write_bytes(png)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), indices)


def test_a_colour_mask_gives_its_first_channel(tmp_path: Path) -> None:
    mask = np.repeat(np.array([[0, 255, 7]], np.uint8)[..., None], 3, axis=2)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask[..., 0])


def test_the_oracle_finds_what_is_true_and_nothing_else(tmp_path: Path) -> None:
    labels = np.zeros((480, 960), np.uint8)
    labels[100:201, 300:500] = 1
    put(tmp_path, "images", "a/1.jpg", np.zeros((480, 960, 3), np.uint8))
    put(tmp_path, "masks", "a/1.png", labels)
    frames = LabelledFrames(read_clips(tmp_path)[0], [THING, OTHER], fps=30)
    model = OracleModel(lambda seq: frames.truth(seq).planes)
    prompts = PromptSet(prompts=(THING.prompt, OTHER.prompt))
    found = model.decode(model.encode(frames.frame(0)), model.embed(prompts))
    assert found.logits.shape == (2, 240, 480)
    assert found.confidence == (1.0, 0.0)
    alpha = 1 / (1 + np.exp(-found.logits[0]))
    assert alpha[75, 200] > 0.999
    assert alpha[100, 200] == pytest.approx(0.5)  # half of that cell is covered
    assert alpha[0, 0] < 0.001
    assert found.logits[1].max() == -8.0
