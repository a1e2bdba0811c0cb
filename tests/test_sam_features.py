"""Where a frame lies in SAM's square input, its grid and its masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from promptmatte.models.sam import SamFeatures
from promptmatte.models.sam.features import picture_hw, resized
from segment_anything.utils.transforms import ResizeLongestSide


def features(inside_hw: tuple[int, int], grid: int = 64) -> SamFeatures:
    embedding = torch.zeros(1, 8, grid, grid)
    return SamFeatures(embedding=embedding, size_hw=(1080, 1920), inside_hw=inside_hw)


@pytest.mark.parametrize("size_hw", [(1080, 1920), (480, 640), (1, 5000), (333, 77), (720, 1281)])
def test_the_picture_has_the_size_that_the_predictor_gives_it(size_hw: tuple[int, int]) -> None:
    assert picture_hw(*size_hw, 1024) == ResizeLongestSide.get_preprocess_shape(*size_hw, 1024)


@pytest.mark.parametrize(
    ("inside_hw", "grid_hw", "mask_hw"),
    [
        ((576, 1024), (36, 64), (144, 256)),
        ((1024, 768), (64, 48), (256, 192)),
        ((683, 1024), (43, 64), (171, 256)),
        ((1, 1024), (1, 64), (1, 256)),
    ],
)
def test_grid_and_masks_hold_the_picture(
    inside_hw: tuple[int, int], grid_hw: tuple[int, int], mask_hw: tuple[int, int]
) -> None:
    found = features(inside_hw)
    assert found.mask_side == 256
    assert found.grid_hw == grid_hw
    assert found.mask_hw == mask_hw
    assert found.cropped(torch.zeros(2, 3, 256, 256)).shape == (2, 3, *mask_hw)


def test_a_padded_map_comes_back_when_cropped_and_the_rest_is_fill() -> None:
    found = features((576, 1024))
    maps = torch.randn(3, 144, 256, generator=torch.Generator().manual_seed(0))
    padded = found.padded(maps, -9.0)
    assert padded.shape == (3, 1, 256, 256)
    assert torch.equal(found.cropped(padded[:, 0]), maps)
    assert bool((padded[:, :, 144:] == -9.0).all())


@pytest.mark.parametrize("size_hw", [(9, 16), (288, 512)])
def test_a_map_of_another_size_is_resized_onto_the_picture_only(size_hw: tuple[int, int]) -> None:
    found = features((576, 1024))
    padded = found.padded(torch.full((1, *size_hw), 5.0), 0.0)
    torch.testing.assert_close(padded[0, 0, :144], torch.full((144, 256), 5.0))
    assert float(padded[0, 0, 144:].abs().max()) == 0.0


def test_no_maps_give_no_masks() -> None:
    assert features((576, 1024)).padded(torch.zeros(0, 9, 16), 0.0).shape == (0, 1, 256, 256)


@pytest.mark.parametrize("size_hw", [(1080, 1920), (540, 960), (100, 260)])
def test_resizing_is_pillows_to_one_level(size_hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    theirs = ResizeLongestSide(256).apply_image(pixels)
    ours = resized(pixels, picture_hw(*size_hw, 256))
    assert ours.shape == theirs.shape
    assert int(np.abs(ours.astype(int) - theirs).max()) <= 1
