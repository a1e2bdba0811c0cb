"""SamNetwork against segment_anything's own SamPredictor, on a small Sam with seeded weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from promptmatte.errors import ModelError
from promptmatte.models.sam import SamNetwork
from segment_anything import SamPredictor
from tiny_sam import tiny_sam
from torch import Tensor

SIDE = 96
XY = torch.tensor(
    [[[10.0, 20.0], [70.0, 5.5]], [[33.0, 0.0], [8.0, 40.0]], [[1.0, 2.0], [3.0, 4.0]]]
)
LABELS = torch.tensor([[1, 0], [0, 1], [1, -1]])
BOXES = torch.tensor([[5.0, 6.0, 70.0, 40.0], [0.0, 0.0, 96.0, 54.0], [10.0, 10.0, 12.0, 90.0]])


def picture(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A smooth random picture, as an array that must not be written to."""
    rng = np.random.default_rng(3)
    coarse = torch.tensor(rng.uniform(0, 255, (1, 3, 5, 7)))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255)
    pixels = fine[0].permute(1, 2, 0).numpy().astype(np.uint8)
    pixels.flags.writeable = False
    return pixels


def network(precision: str = "fp32") -> SamNetwork:
    return SamNetwork(tiny_sam(side=SIDE), kind="sam-vit-b", device="cpu", precision=precision)


def predictor(pixels: npt.NDArray[np.uint8]) -> SamPredictor:
    found = SamPredictor(tiny_sam(side=SIDE))
    found.set_image(pixels)
    return found


def spread(tensor: Tensor) -> float:
    return float(tensor.std())


@pytest.mark.parametrize("size_hw", [(54, 96), (96, 70), (96, 96)])
def test_encode_is_the_predictors_where_nothing_is_resized(size_hw: tuple[int, int]) -> None:
    pixels = picture(*size_hw)
    theirs = predictor(pixels)
    features = network().encode(pixels)
    assert features.inside_hw == theirs.input_size == size_hw
    assert features.size_hw == size_hw
    torch.testing.assert_close(features.embedding, theirs.features, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("size_hw", [(540, 960), (480, 640), (301, 200), (31, 50)])
def test_encode_of_a_resized_frame_differs_by_rounding_alone(size_hw: tuple[int, int]) -> None:
    pixels = picture(*size_hw)
    theirs = predictor(pixels)
    features = network().encode(pixels)
    assert features.inside_hw == theirs.input_size
    assert float((features.embedding - theirs.features).abs().max()) < 0.02 * spread(
        theirs.features
    )


def test_half_precision_stays_near_and_is_really_used() -> None:
    pixels = picture(54, 96)
    exact = network().encode(pixels).embedding
    for precision, tolerance in (("bf16", 0.08), ("fp16", 0.01)):
        half = network(precision)
        embedding = half.encode(pixels).embedding
        assert half.precision == precision
        assert embedding.dtype == torch.float32
        error = float((embedding - exact).abs().max()) / spread(exact)
        assert 1e-5 < error < tolerance, (precision, error)


def test_what_is_encoded_in_inference_mode_serves_training() -> None:
    ours = network()
    with torch.inference_mode():
        image = ours.encode(picture(54, 96)).embedding
    sparse = torch.randn(1, 2, ours.dim, requires_grad=True)
    ours.predict(image, sparse=sparse, dense=ours.no_mask)[0].sum().backward()
    assert not image.is_inference()


def test_points_boxes_and_masks_are_the_predictors() -> None:
    pixels = picture(54, 96)
    theirs, ours = predictor(pixels), network()
    image = ours.encode(pixels).embedding
    mask = torch.randn(
        3, 1, ours.mask_side, ours.mask_side, generator=torch.Generator().manual_seed(1)
    )
    boxes = ours.boxes(BOXES)
    both = torch.cat([ours.points(XY, LABELS, pad=False), boxes], dim=1)
    cases = [
        ({"point_coords": XY, "point_labels": LABELS}, ours.points(XY, LABELS), ours.no_mask),
        ({"point_coords": None, "point_labels": None, "boxes": BOXES}, boxes, ours.no_mask),
        (
            {"point_coords": XY, "point_labels": LABELS, "boxes": BOXES, "mask_input": mask},
            both,
            ours.mask_prompt(mask),
        ),
    ]
    for prompts, sparse, dense in cases:
        _, quality, logits = theirs.predict_torch(**prompts, multimask_output=True)
        found, found_quality = ours.predict(image, sparse=sparse, dense=dense)
        assert found.shape == (3, 3, ours.mask_side, ours.mask_side)
        torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found_quality, quality, atol=1e-4, rtol=1e-4)
        assert spread(found) > 1e-3


def test_prompts_in_half_precision_are_near_the_predictors() -> None:
    pixels = picture(54, 96)
    theirs, ours = predictor(pixels), network("bf16")
    _, _, logits = theirs.predict_torch(XY, LABELS, multimask_output=True)
    image = ours.encode(pixels).embedding
    found, quality = ours.predict(image, sparse=ours.points(XY, LABELS), dense=ours.no_mask)
    assert found.dtype == quality.dtype == torch.float32
    assert float((found - logits).abs().max()) < 0.1 * spread(logits)


def test_each_prompt_can_have_its_own_image() -> None:
    ours = network()
    images = torch.cat(
        [ours.encode(picture(54, 96)).embedding, ours.encode(picture(96, 60)).embedding]
    )
    sparse = ours.points(XY[:2], LABELS[:2])
    found, quality = ours.predict(images, sparse=sparse, dense=ours.no_mask)
    for row in range(2):
        alone, alone_quality = ours.predict(
            images[row : row + 1], sparse=sparse[row : row + 1], dense=ours.no_mask
        )
        torch.testing.assert_close(found[row], alone[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(quality[row], alone_quality[0], atol=1e-5, rtol=1e-4)
    assert float((found[0] - found[1]).abs().max()) > 1e-3


def test_no_prompts_give_no_masks() -> None:
    ours = network()
    image = ours.encode(picture(54, 96)).embedding
    sparse = ours.points(torch.zeros(0, 1, 2), torch.zeros(0, 1))
    masks, quality = ours.predict(image, sparse=sparse, dense=ours.no_mask)
    assert masks.shape == (0, 3, ours.mask_side, ours.mask_side)
    assert quality.shape == (0, 3)
    assert ours.boxes(torch.zeros(0, 4)).shape == (0, 2, ours.dim)
    none = torch.zeros(0, 1, ours.mask_side, ours.mask_side)
    assert ours.mask_prompt(none).shape == (0, ours.dim, ours.grid, ours.grid)


def test_gradients_reach_prompts_and_no_weight_learns() -> None:
    sam = tiny_sam(side=SIDE)
    ours = SamNetwork(sam, kind="sam-vit-b", device="cpu")
    sparse = torch.randn(2, 2, ours.dim, requires_grad=True)
    masks, _ = ours.predict(
        ours.encode(picture(54, 96)).embedding, sparse=sparse, dense=ours.no_mask
    )
    masks.mean().backward()
    assert sparse.grad is not None
    assert float(sparse.grad.abs().max()) > 0
    assert not any(parameter.requires_grad for parameter in sam.parameters())


def test_stepping_down_in_place_halves_the_encoder() -> None:
    sam = tiny_sam(side=SIDE)
    ours = SamNetwork(sam, kind="sam-vit-b", device="cpu")
    neck = sam.image_encoder.neck[0].weight.clone()
    before, pixels = ours.weight_bytes, picture(54, 96)
    exact = ours.encode(pixels).embedding
    ours.to_precision("fp16")
    assert torch.equal(sam.image_encoder.neck[0].weight, neck)
    assert {part.dtype for part in sam.image_encoder.blocks.parameters()} == {torch.float16}
    assert ours.precision == "fp16"
    assert ours.weight_bytes < before
    error = float((ours.encode(pixels).embedding - exact).abs().max())
    assert error < 0.01 * spread(exact)


def test_auto_is_exact_on_a_cpu_and_a_wrong_precision_is_refused() -> None:
    assert network("auto").precision == "fp32"
    with pytest.raises(
        ModelError, match="expected a precision of auto, fp32, bf16, fp16; got 'int8'"
    ):
        network("int8")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 0.01), ("bf16", 0.1), ("fp16", 0.02)]
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_card_agrees_with_the_cpu(precision: str, tolerance: float, compiled: bool) -> None:
    pixels = picture(54, 96)
    exact = network().encode(pixels).embedding
    ours = SamNetwork(
        tiny_sam(side=SIDE), kind="sam-vit-b", device="cuda", precision=precision, compiled=compiled
    )
    for _ in range(2):
        embedding = ours.encode(pixels).embedding
        assert float((embedding.cpu() - exact).abs().max()) < tolerance * spread(exact)
