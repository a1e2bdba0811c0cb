"""Both fused attentions against segment_anything's own."""

from __future__ import annotations

import copy

import pytest
import torch
from promptmatte.models.sam.attention import ROWS_AT_ONCE, WAYS, install
from segment_anything.modeling.image_encoder import Attention, ImageEncoderViT
from tiny_sam import tiny_sam

SHAPES = {
    # Grids as of windows, of a whole input in one and in several rows of queries, and not square.
    "window": (5, (3, 3)),
    "whole": (1, (ROWS_AT_ONCE, ROWS_AT_ONCE)),
    "several": (2, (2 * ROWS_AT_ONCE + 3, 5)),
}


def encoder_of(attention: Attention) -> torch.nn.Module:
    """What `install` needs to know of an encoder."""
    block = torch.nn.Module()
    block.attn = attention
    encoder = torch.nn.Module()
    encoder.blocks = torch.nn.ModuleList([block])
    return encoder


def random_attention(size_hw: tuple[int, int], dim: int = 40, heads: int = 2) -> Attention:
    torch.manual_seed(5)
    attention = Attention(dim, num_heads=heads, use_rel_pos=True, input_size=size_hw)
    attention.rel_pos_h.data.normal_()
    attention.rel_pos_w.data.normal_()
    return attention.eval()


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("shape", list(SHAPES))
@torch.no_grad()
def test_the_outcome_is_that_of_segment_anything(way: str, shape: str) -> None:
    count, size_hw = SHAPES[shape]
    theirs = random_attention(size_hw)
    ours = copy.deepcopy(theirs)
    install(encoder_of(ours), way)
    x = torch.randn(count, *size_hw, 40)
    torch.testing.assert_close(ours(x), theirs(x), atol=2e-6, rtol=1e-5)
    theirs.rel_pos_h.zero_()
    assert float((ours(x) - theirs(x)).abs().max()) > 1e-2  # positions matter


@pytest.mark.parametrize("way", list(WAYS))
@torch.no_grad()
def test_in_bfloat16_it_errs_no_more_than_segment_anything_does(way: str) -> None:
    size_hw = (7, 9)
    exact = random_attention(size_hw)
    theirs, ours = copy.deepcopy(exact).bfloat16(), copy.deepcopy(exact)
    install(encoder_of(ours), way)
    ours.bfloat16()
    x = torch.randn(3, *size_hw, 40)
    want = exact(x)
    their_error = float((theirs(x.bfloat16()).float() - want).square().mean())
    our_error = float((ours(x.bfloat16()).float() - want).square().mean())
    assert ours(x.bfloat16()).dtype == torch.bfloat16
    assert our_error < 1.5 * their_error


@pytest.mark.parametrize("way", list(WAYS))
@torch.no_grad()
def test_a_whole_encoder_keeps_its_keys_and_gives_the_same_with_padded_windows(way: str) -> None:
    theirs: ImageEncoderViT = tiny_sam(side=64).image_encoder
    ours = copy.deepcopy(theirs)
    install(ours, way)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    pixels = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(pixels), theirs(pixels), atol=2e-5, rtol=1e-5)
    assert not torch.equal(ours(pixels[:1]), ours(pixels[1:]))


def test_other_encoders_are_left_alone() -> None:
    changed, untouched = tiny_sam().image_encoder, tiny_sam().image_encoder
    install(changed, "biased")
    assert "forward" not in vars(untouched.blocks[0].attn)
    assert Attention.forward is type(untouched.blocks[0].attn).forward


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@torch.no_grad()
def test_on_a_card_it_is_near_the_cpu(way: str, dtype: torch.dtype) -> None:
    attention = random_attention((14, 14), dim=160)
    x = torch.randn(4, 14, 14, 160)
    want = attention(x)
    install(encoder_of(attention), way)
    found = attention.to("cuda", dtype)(x.to("cuda", dtype)).float().cpu()
    tolerance = 1e-3 if dtype == torch.float32 else 0.03
    assert float((found - want).abs().max()) < tolerance * float(want.abs().max())
