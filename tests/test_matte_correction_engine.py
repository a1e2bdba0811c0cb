import shutil
from pathlib import Path

import numpy as np
import pytest
from promptmatte.matte.correction_engine import (
    OnnxCorrection,
    TorchCorrection,
    load_correction,
    onnx_paths,
)
from promptmatte.matte.correction_weights import load_correction_network, weights_path


@pytest.mark.parametrize(
    ("size_hw", "prompts", "which"),
    [
        ((136, 240), 1, [0]),
        ((136, 240), 4, [0, 1, 2, 3]),
        ((240, 136), 3, [0, 2]),
        ((64, 16), 2, [1]),
    ],
)
def test_onnx_gives_what_torch_gives(
    size_hw: tuple[int, int], prompts: int, which: list[int]
) -> None:
    rng = np.random.default_rng(prompts)
    height, width = size_hw
    then, now = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    masks = rng.random((prompts, height, width), np.float32)
    origins = 4 * rng.random((2, height // 8, width // 8), np.float32)
    evidence = 2 * rng.random((len(which), 4, height, width), np.float32) - 1
    results = []
    for engine in (TorchCorrection(load_correction_network()), load_correction()):
        memory = engine.memory(engine.features(then), masks)
        results.append(engine.correct(engine.features(now), memory, origins, evidence, which))
    (masks_torch, quality_torch), (masks_onnx, quality_onnx) = results
    assert isinstance(engine, OnnxCorrection)
    assert masks_onnx.shape == (len(which), height, width)
    assert masks_torch.std() > 0.05
    assert np.abs(masks_onnx - masks_torch).max() < 1e-4
    assert np.abs(quality_onnx - quality_torch).max() < 1e-5


def test_onnx_files_of_other_weights_are_not_used(tmp_path: Path) -> None:
    weights = tmp_path / "correction.safetensors"
    for source, copy in zip(onnx_paths(weights_path()), onnx_paths(weights), strict=True):
        shutil.copy(source, copy)
    shutil.copy(weights_path(), weights)
    assert isinstance(load_correction(weights=weights), OnnxCorrection)
    from safetensors.torch import load_file, save_file

    save_file(load_file(weights), weights, metadata={"format": "promptmatte-correction-1"})
    assert isinstance(load_correction(weights=weights), TorchCorrection)
