"""Which Sam a file of weights holds, read from the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn

from promptmatte.errors import ModelError
from promptmatte.models.sam.features import STRIDE

Weights = Mapping[str, Tensor]

PUBLIC = {(768, 12): "sam-vit-b", (1024, 24): "sam-vit-l", (1280, 32): "sam-vit-h"}
"""The public models by width and depth of their image encoder."""

DECODER_HEADS = 8
"""Nothing in a file tells how many heads the decoder's attentions have; every SAM has 8."""


@dataclass(frozen=True, kw_only=True)
class VitArchitecture:
    """The sizes of a SAM image encoder of segment_anything's kind."""

    side: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float
    window: int
    global_blocks: tuple[int, ...]
    dim: int

    @classmethod
    def of(cls, weights: Weights) -> VitArchitecture:
        """What the tensors say; KeyError or ValueError where they are not of such an encoder."""
        prefix = "image_encoder."
        _, grid, _, width = weights[prefix + "pos_embed"].shape
        depth = counted(weights, prefix + "blocks.")
        tables = [weights[f"{prefix}blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
        windows = [(length + 1) // 2 for length, _ in tables]
        return cls(
            side=grid * STRIDE,
            width=width,
            depth=depth,
            heads=width // tables[0][1],
            mlp_ratio=weights[prefix + "blocks.0.mlp.lin1.weight"].shape[0] / width,
            window=min(windows),
            global_blocks=tuple(i for i, size in enumerate(windows) if size == grid),
            dim=weights[prefix + "neck.0.weight"].shape[0],
        )

    @property
    def public_name(self) -> str | None:
        """The public model with these sizes; None for any other, such as a small one."""
        return PUBLIC.get((self.width, self.depth))

    def built(self) -> ImageEncoderViT:
        """The encoder, its weights left as segment_anything begins them."""
        return ImageEncoderViT(
            img_size=self.side,
            patch_size=STRIDE,
            embed_dim=self.width,
            depth=self.depth,
            num_heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            out_chans=self.dim,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=0 if len(self.global_blocks) == self.depth else self.window,
            global_attn_indexes=self.global_blocks,
        )


def sam_of(encoder: nn.Module, weights: Weights, *, side: int) -> Sam:
    """A Sam of an image encoder, with prompt encoder and mask decoder of the sizes in the file.

    KeyError where the file has none.
    """
    prompts, decoder = "prompt_encoder.", "mask_decoder."
    dim = weights[prompts + "no_mask_embed.weight"].shape[1]
    layers = decoder + "transformer.layers."
    head = decoder + "iou_prediction_head.layers."
    grid = side // STRIDE
    return Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=dim,
            image_embedding_size=(grid, grid),
            input_image_size=(side, side),
            mask_in_chans=weights[prompts + "mask_downscaling.3.weight"].shape[0],
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=weights[decoder + "mask_tokens.weight"].shape[0] - 1,
            transformer=TwoWayTransformer(
                depth=counted(weights, layers),
                embedding_dim=dim,
                mlp_dim=weights[layers + "0.mlp.lin1.weight"].shape[0],
                num_heads=DECODER_HEADS,
            ),
            transformer_dim=dim,
            iou_head_depth=counted(weights, head),
            iou_head_hidden_dim=weights[head + "0.weight"].shape[0],
        ),
    )


def counted(weights: Weights, prefix: str) -> int:
    """How many numbered parts there are with this prefix, as `blocks.0.`, `blocks.1.`."""
    return len({key[len(prefix) :].split(".")[0] for key in weights if key.startswith(prefix)})


def check_kind(kind: str, found: str | None) -> None:
    """ModelError when a file holds another public model than the one that was chosen."""
    if found is not None and found != kind:
        raise ModelError(f"expected {kind}; the file holds {found}: choose --model {found}")
