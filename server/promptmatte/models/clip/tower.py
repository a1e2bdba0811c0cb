"""The image tower of CLIP: what makes one usable, its input size, tokens before its end."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from promptmatte.errors import ModelError

PATCHES_ACROSS = 24
"""Patches a side aimed at: 576 in all, each about 3 SAM cells."""

MOST_GROWTH = 1.5
"""The input's side over the one it was trained at, at most. Position embeddings stretched to
336 from 224 pixels are what the papers on dense CLIP use; further out nothing was tried."""


def checked_tower(visual: nn.Module, name: str) -> VisionTransformer:
    """The image tower, when dense features can be taken from it; ModelError if not."""
    usable = (
        "use ViT-B-16, ViT-B-32, ViT-L-14, ViT-L-14-336, ViT-H-14 or xlm-roberta-large-ViT-H-14"
    )
    if not isinstance(visual, VisionTransformer):
        raise ModelError(
            f"expected a CLIP whose image tower is open_clip's VisionTransformer; "
            f"{name} has a {type(visual).__name__}: {usable}"
        )
    last = visual.transformer.resblocks[-1]
    if type(last) is not ResidualAttentionBlock or visual.attn_pool is not None:
        what = "attentional pooling" if visual.attn_pool is not None else type(last).__name__
        raise ModelError(
            f"expected a CLIP image tower of plain attention blocks and pooling; "
            f"{name} has {what}: {usable}"
        )
    if len(set(visual.patch_size)) > 1 or len(set(visual.image_size)) > 1:
        raise ModelError(
            f"expected square patches and a square input; {name} has patches of "
            f"{visual.patch_size} in {visual.image_size} pixels: {usable}"
        )
    return visual


def working_side(visual: VisionTransformer) -> int:
    """The side of the square whose area dense inputs have, in pixels, e.g. 336 for ViT-B-16."""
    native: int = visual.image_size[0]
    return max(native, int(min(PATCHES_ACROSS * visual.patch_size[0], MOST_GROWTH * native)))


def input_hw(visual: VisionTransformer, height: int, width: int) -> tuple[int, int]:
    """The dense input's size for a picture: its shape, the area of working_side squared, both
    sides multiples of the patch."""
    patch: int = visual.patch_size[0]
    scale = working_side(visual) / math.sqrt(height * width)
    return (
        max(1, round(height * scale / patch)) * patch,
        max(1, round(width * scale / patch)) * patch,
    )


def position_embedding(visual: VisionTransformer, rows: int, columns: int) -> Tensor:
    """Position embeddings [1 + rows * columns, width], the learned grid resized (bicubic)."""
    learned: Tensor = visual.positional_embedding
    across, down = visual.grid_size[1], visual.grid_size[0]
    if (rows, columns) == (down, across):
        return learned
    # On the CPU, as not every device has this filter, and it is done once a stream.
    grid = learned[1:].float().cpu().reshape(1, down, across, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (rows, columns), mode="bicubic", antialias=True)
    patches = grid.flatten(2)[0].T.to(device=learned.device, dtype=learned.dtype)
    return torch.cat([learned[:1], patches])


def tokens_before_last(visual: VisionTransformer, pixels: Tensor, position: Tensor) -> Tensor:
    """Tokens [B, 1 + patches, width] that enter the last block, of normalised pixels
    [B, 3, H, W]; the first token is the class's."""
    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    tokens: Tensor = visual.ln_pre(torch.cat([first, patches], dim=1) + position.to(patches.dtype))
    for block in visual.transformer.resblocks[:-1]:
        tokens = block(tokens)
    return tokens
