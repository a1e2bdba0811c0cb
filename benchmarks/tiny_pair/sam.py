"""A tiny SAM: segment_anything's own Sam, with the embedded model's network in the ViT's place.

That network is frozen: what it knows it was taught on the same photographs, with words. New here,
and started from nothing, are a neck as in SAM's ViT, the prompt encoder and the mask decoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from promptmatte.models.embedded_network import EmbeddedNetwork
from promptmatte.models.embedded_words import MASK_STRIDE, EmbeddedArchitecture
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

SIDE_PX = 384
STRIDE_PX = 16
DIM, DEPTH, HEADS, MLP_DIM = 256, 2, 8, 1024
"""As in SAM, but for half of its MLP_DIM."""


class Stem(nn.Module):
    """The embedded model's vectors of pixels that are normalised as SAM's are, cell by cell."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: EmbeddedNetwork) -> None:
        super().__init__()
        self.network = network
        for name, values in (
            ("mean", (123.675, 116.28, 103.53)),
            ("std", (58.395, 57.12, 57.375)),
        ):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, g, g, 16 * dim]: the vectors of all 4 x 4 places of a cell."""
        vectors = self.network.encode_image(pixels * self.std + self.mean).pixels
        return F.pixel_unshuffle(vectors, STRIDE_PX // MASK_STRIDE).permute(0, 2, 3, 1)


class EmbeddedEncoder(nn.Module):
    """The same parts as segment_anything's ImageEncoderViT has, without any blocks."""

    def __init__(self, network: EmbeddedNetwork, side_px: int) -> None:
        super().__init__()
        self.img_size = side_px
        self.patch_embed = Stem(network)
        self.pos_embed = None
        self.blocks = nn.ModuleList()
        found = network.architecture.dim * (STRIDE_PX // MASK_STRIDE) ** 2
        self.neck = nn.Sequential(
            nn.Conv2d(found, DIM, 1, bias=False),
            LayerNorm2d(DIM),
            nn.Conv2d(DIM, DIM, 3, padding=1, bias=False),
            LayerNorm2d(DIM),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """The image embedding [B, DIM, g, g] of normalised pixels [B, 3, S, S]."""
        return self.neck(self.patch_embed(pixels).permute(0, 3, 1, 2))  # type: ignore[no-any-return]


def new_tiny_sam(network: EmbeddedNetwork, side_px: int = SIDE_PX) -> Sam:
    """A Sam that sees by a network, which becomes its own and is frozen; the rest is random."""
    grid = side_px // STRIDE_PX
    sam: Any = Sam(
        image_encoder=EmbeddedEncoder(network, side_px),
        prompt_encoder=PromptEncoder(
            embed_dim=DIM,
            image_embedding_size=(grid, grid),
            input_image_size=(side_px, side_px),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=DEPTH, embedding_dim=DIM, num_heads=HEADS, mlp_dim=MLP_DIM
            ),
            transformer_dim=DIM,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
    )
    sam.image_encoder.patch_embed.requires_grad_(False)
    return sam.eval()


def save_tiny_sam(sam: Sam, path: Path) -> None:
    """Writes its weights, the side of its input and the architecture of the network in it."""
    model: Any = sam
    encoder = model.image_encoder
    partial = path.with_suffix(".partial")
    held = {
        "side_px": encoder.img_size,
        "architecture": encoder.patch_embed.network.architecture.as_dict(),
        "weights": model.state_dict(),
    }
    torch.save(held, partial)
    partial.replace(path)


def load_tiny_sam(path: Path) -> Sam:
    """The Sam of a file that save_tiny_sam wrote."""
    held = torch.load(path, map_location="cpu", weights_only=True)
    network = EmbeddedNetwork(EmbeddedArchitecture.from_dict(held["architecture"]))
    sam = new_tiny_sam(network, held["side_px"])
    sam.load_state_dict(held["weights"])
    return sam
