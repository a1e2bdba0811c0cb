"""ClipNetwork against open_clip itself, on a tiny CLIP with random weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from promptmatte.errors import ModelError
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.clip.dense import (
    WINDOW_PATCHES,
    guide_attention,
    merged,
    queries_keys_values,
    window,
)
from promptmatte.models.clip.tower import (
    input_hw,
    position_embedding,
    tokens_before_last,
    working_side,
)
from tiny_clip import TEXT, VISION, tiny_clip

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "layer scale": {"vision_cfg": {"ls_init_value": 0.1}},
    "no ln_pre, mean pooling": {
        "vision_cfg": {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True}
    },
    "quick gelu": {"quick_gelu": True},
    "custom text": {"custom_text": True},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipNetwork:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth random colours; noise would be lost in resizing."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    tensor = torch.from_numpy(small).permute(2, 0, 1)[None].float()
    large = F.interpolate(tensor, (height, width), mode="bicubic").clamp(0, 255)[0]
    return large.permute(1, 2, 0).byte().numpy().copy()


@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens_before_the_last_block_are_open_clips(variant: str, tmp_path: Path) -> None:
    visual: Any = tiny_clip(tmp_path, **VARIANTS[variant])._visual
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = visual.forward_intermediates(
            pixels, indices=[1, 2], output_fmt="NLC", output_extra_tokens=True
        )
        before = tokens_before_last(visual, pixels, position_embedding(visual, 8, 8))
        expected = [
            torch.cat([first, rest], dim=1)
            for first, rest in zip(
                theirs["image_intermediates_prefix"], theirs["image_intermediates"], strict=True
            )
        ]
        torch.testing.assert_close(before, expected[0], rtol=1e-5, atol=1e-5)
        # The same parts, put together as open_clip does, are its last block.
        block = visual.transformer.resblocks[-1]
        queries, keys, values = queries_keys_values(block, before)
        plain = F.scaled_dot_product_attention(queries, keys, values)
        after = before + merged(block, plain)
        after = after + block.ls_2(block.mlp(block.ln_2(after)))
        torch.testing.assert_close(after, expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_are_what_open_clip_encodes(variant: str, tmp_path: Path) -> None:
    clip = tiny_clip(tmp_path, **VARIANTS[variant])
    reference, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    crops = torch.from_numpy(np.stack([picture(64, 64, seed) for seed in range(3)]))
    crops = crops.permute(0, 3, 1, 2)
    normalise = preprocess.transforms[-1]
    with torch.no_grad():
        expected = reference.eval().encode_image(normalise(crops.float() / 255), normalize=True)
    torch.testing.assert_close(clip.images(crops), expected, rtol=1e-4, atol=1e-5)
    assert clip.images(crops[:, :, :48, :48]).shape == (3, clip.dim)


def test_dense_features_cover_the_whole_picture_at_its_shape(clip: ClipNetwork) -> None:
    features = clip.dense(picture(90, 160))
    assert features.shape == (1, clip.dim, 9, 16)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(1, 9, 16))
    assert clip.dense(picture(300, 100)).shape[-2:] == (21, 7)
    assert torch.equal(features, clip.dense(picture(90, 160)))


def test_dense_features_follow_the_formula_of_naclip(clip: ClipNetwork) -> None:
    """The same in plain steps, without fused attention: key-key logits plus the window."""
    pixels = picture(96, 96)
    visual: Any = clip._visual
    assert input_hw(visual, 96, 96) == (96, 96)
    with torch.no_grad():
        normal = clip._normalised(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        tokens = tokens_before_last(visual, normal, position_embedding(visual, 12, 12))[:, 1:]
        block = visual.transformer.resblocks[-1]
        width, heads = VISION["width"], VISION["width"] // VISION["head_width"]
        _, k, v = F.linear(
            block.ln_1(tokens), block.attn.in_proj_weight, block.attn.in_proj_bias
        ).chunk(3, dim=-1)
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
        places = torch.stack([y.flatten(), x.flatten()], dim=1)
        near = torch.exp(-(torch.cdist(places, places) ** 2) / (2 * WINDOW_PATCHES**2))
        size = width // heads
        gathered = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            logits = k[0, :, part] @ k[0, :, part].T / math.sqrt(size) + near
            gathered.append(logits.softmax(dim=1) @ v[0, :, part])
        out = block.attn.out_proj(torch.cat(gathered, dim=1))
        expected = F.normalize(visual.ln_post(out) @ visual.proj, dim=1)
    found = clip.dense(pixels)[0].flatten(1).T
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_window_is_one_at_the_patch_and_falls_with_distance() -> None:
    near = window(3, 5, torch.zeros(1))
    assert torch.equal(near.diagonal(), torch.ones(15))
    assert near[0, 1] > near[0, 6] > near[0, 14]
    assert float(near[0, 1]) == pytest.approx(math.exp(-1 / 50))
    assert float(near[0, 14]) == pytest.approx(math.exp(-20 / 50))


@pytest.mark.parametrize(("precision", "closeness"), [("bf16", 0.99), ("fp16", 0.999)])
def test_half_precision_stays_close(
    precision: str, closeness: float, clip: ClipNetwork, tmp_path: Path
) -> None:
    half = tiny_clip(tmp_path, precision=precision)
    assert half._visual.conv1.weight.dtype is not torch.float32
    pixels, guide = picture(90, 160), torch.randn(1, 16, 9, 16)
    for given in (None, guide):
        cosine = (half.dense(pixels, guide=given) * clip.dense(pixels, guide=given)).sum(dim=1)
        assert cosine.min() > closeness
    crops = torch.from_numpy(picture(64, 64)).permute(2, 0, 1)[None]
    assert (half.images(crops) * clip.images(crops)).sum() > closeness
    # Texts stay fp32.
    assert torch.equal(half.texts(["dog"]), clip.texts(["dog"]))


def test_positions_are_those_learned_at_the_native_grid_and_between_them_elsewhere(
    clip: ClipNetwork,
) -> None:
    visual: Any = clip._visual
    learned = visual.positional_embedding
    assert torch.equal(position_embedding(visual, 8, 8), learned)
    wide = position_embedding(visual, 9, 16)
    assert wide.shape == (145, VISION["width"])
    assert torch.equal(wide[0], learned[0])
    turned = torch.nn.Parameter(
        torch.cat([learned[:1], torch.arange(64.0).repeat(VISION["width"], 1).T])
    )
    visual.positional_embedding, kept = turned, learned
    try:
        rows = position_embedding(visual, 8, 16)[1:, 0].reshape(8, 16)
    finally:
        visual.positional_embedding = kept
    # Across: 0..7 in half steps; down: steps of 8. No axis is swapped.
    assert rows[0, 0] < 1 < 6 < rows[0, -1]
    torch.testing.assert_close(rows[4] - rows[3], torch.full((16,), 8.0), rtol=1e-3, atol=1e-3)


def test_a_guide_gathers_patches_that_it_holds_alike() -> None:
    """Left and right half of the guide differ: places attend to their own half alone."""
    guide = torch.zeros(1, 4, 6, 8)
    guide[:, 0, :, :4] = 1.0
    guide[:, 1, :, 4:] = 1.0
    attention = guide_attention(guide + 5.0, 3, 4).reshape(6, 8, 3, 4)
    assert torch.allclose(attention.sum(dim=(2, 3)), torch.ones(6, 8))
    assert float(attention[:, :4, :, :2].sum(dim=(2, 3)).min()) == pytest.approx(1.0)
    assert float(attention[:, 4:, :, 2:].sum(dim=(2, 3)).min()) == pytest.approx(1.0)


def test_a_guide_that_says_nothing_leaves_no_gap(clip: ClipNetwork) -> None:
    features = clip.dense(picture(90, 160), guide=torch.ones(1, 16, 5, 9))
    assert features.shape == (1, clip.dim, 5, 9)
    assert torch.isfinite(features).all()


def test_a_guide_splits_features_where_it_splits(clip: ClipNetwork) -> None:
    """Features by guide are alike within a half of the guide and unlike across."""
    guide = torch.zeros(1, 2, 18, 32)
    guide[:, 0, :, :16], guide[:, 1, :, 16:] = 1.0, 1.0
    features = clip.dense(picture(90, 160), guide=guide)[0]
    left, right = features[:, :, :16].flatten(1), features[:, :, 16:].flatten(1)
    assert float((left.T @ left).min()) > 0.999
    assert float((left.T @ right).max()) < float((left.T @ left).min()) - 1e-3


def test_the_working_size_has_the_area_of_what_it_was_trained_at_or_somewhat_more() -> None:
    for name, side in (("ViT-B-16", 336), ("ViT-B-32", 336), ("ViT-L-14-336", 336)):
        config = open_clip.get_model_config(name)["vision_cfg"]
        with torch.device("meta"):
            visual: Any = open_clip.transformer.VisionTransformer(
                image_size=config["image_size"], patch_size=config["patch_size"],
                width=64, layers=1, heads=1, mlp_ratio=1.0,
            )  # fmt: skip
        assert working_side(visual) == side
        height, width = input_hw(visual, 1080, 1920)
        patch = config["patch_size"]
        assert height % patch == 0
        assert width % patch == 0
        assert 0.85 < height * width / side**2 < 1.15
        assert 0.8 < (width / height) / (1920 / 1080) < 1.2


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"vision_cfg": {"qk_norm": True}}, "CustomResidualAttentionBlock"),
        ({"vision_cfg": {"attentional_pool": True}}, "attentional pooling"),
        ({"vision_cfg": {"layers": [1, 1, 1, 1], "width": 16}}, "ModifiedResNet"),
    ],
)
def test_towers_without_dense_features_are_refused(
    changes: dict[str, Any], what: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"{what}.*use ViT-B-16"):
        tiny_clip(tmp_path, **changes)


def test_the_text_tower_is_the_one_of_the_configuration(clip: ClipNetwork) -> None:
    model: Any = clip._clip
    assert model.context_length == TEXT["context_length"]
    assert clip.logit_scale == pytest.approx(100.0, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_card_gives_what_a_cpu_does(precision: str, clip: ClipNetwork, tmp_path: Path) -> None:
    card = tiny_clip(tmp_path, precision=precision, device="cuda")
    pixels, guide = picture(90, 160), torch.randn(1, 16, 9, 16)
    for given in (None, guide):
        theirs = card.dense(pixels, guide=None if given is None else given.cuda()).cpu()
        assert (theirs * clip.dense(pixels, guide=given)).sum(dim=1).min() > 0.98
    assert (card.texts(["dog"]).cpu() @ clip.texts(["dog"]).T).item() > 0.999
