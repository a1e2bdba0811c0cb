"""A small Sam of segment_anything's own classes with seeded random weights, for tests."""

from __future__ import annotations

from functools import partial

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)


def tiny_sam(
    seed: int = 0,
    side: int = 64,
    *,
    width: int = 32,
    depth: int = 3,
    heads: int = 2,
    window: int = 3,
    global_blocks: tuple[int, ...] = (1,),
    dim: int = 32,
) -> Sam:
    """A Sam with an input of side x side pixels (a multiple of 16) and a grid of side / 16.

    Every parameter is random, also those which segment_anything starts at zero (positions), so
    that none can be left out unnoticed. The random state of the caller stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        grid = side // 16
        sam = Sam(
            image_encoder=ImageEncoderViT(
                img_size=side,
                embed_dim=width,
                depth=depth,
                num_heads=heads,
                out_chans=dim,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=window,
                global_attn_indexes=global_blocks,
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=dim,
                image_embedding_size=(grid, grid),
                input_image_size=(side, side),
                mask_in_chans=16,
            ),
            mask_decoder=MaskDecoder(
                num_multimask_outputs=3,
                transformer=TwoWayTransformer(
                    depth=2, embedding_dim=dim, num_heads=8, mlp_dim=2 * dim
                ),
                transformer_dim=dim,
                iou_head_depth=3,
                iou_head_hidden_dim=dim,
            ),
        )
        for parameter in sam.parameters():
            if parameter.ndim == 1 or not parameter.abs().max() > 0:
                parameter.data += 0.1 * torch.randn_like(parameter)
        for block in sam.image_encoder.blocks:
            for table in (block.attn.rel_pos_h, block.attn.rel_pos_w):
                table.data.normal_(std=0.5)
    return sam.eval()
