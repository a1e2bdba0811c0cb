"""A tiny SAM: segment_anything's own Sam, with the embedded model's encoder in the ViT's place.

The encoder is the shipped embedded model's, frozen: a light backbone and its neck. What it knows
it was taught on the same photographs, with words. New here are the prompt encoder, the mask
decoder, and a layer that adds to each cell what the backbone's fine levels show within it: the
embedded model passes those around the embedding, which SAM's decoder does not know.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from promptmatte.models.embedded import load_network, weights_path
from promptmatte.models.embedded_network import PIXEL_MEAN, PIXEL_STD, EmbeddedNetwork
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

SIDE_PX = 384
STRIDE_PX = 16


class Stem(nn.Module):
    """The embedded model's features before its neck, of pixels normalised as SAM's are."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: EmbeddedNetwork) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.lateral16, self.lateral32 = network.lateral16, network.lateral32
        self.context = network.context
        for name, values in (
            ("mean", (123.675, 116.28, 103.53)),
            ("std", (58.395, 57.12, 57.375)),
        ):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, g, g, dim + all of the fine levels' values in a cell]."""
        raw = pixels * self.std + self.mean
        f4, f8, f16, f32 = self.backbone((raw - PIXEL_MEAN) / PIXEL_STD)
        top = self.lateral32(f32) + self.context(f32.mean(dim=(2, 3), keepdim=True))
        top = F.interpolate(top, size=f16.shape[-2:], mode="bilinear", align_corners=False)
        fine = [F.pixel_unshuffle(f8, 2), F.pixel_unshuffle(f4, 4)]
        return torch.cat([self.lateral16(f16) + top, *fine], dim=1).permute(0, 2, 3, 1)


class Neck(nn.Module):
    """The embedded model's neck, and the layer that adds fine levels; at first it adds nothing."""

    def __init__(self, network: EmbeddedNetwork) -> None:
        super().__init__()
        self.dim = dim = network.architecture.dim
        self.smooth = network.smooth
        c4, c8, _, _ = network.backbone.feature_info.channels()
        fine = 16 * c4 + 4 * c8
        last = nn.Conv2d(dim, dim, 1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.detail = nn.Sequential(LayerNorm2d(fine), nn.Conv2d(fine, dim, 1), nn.GELU(), last)

    def forward(self, stem: Tensor) -> Tensor:
        """What the Stem gave, channels first -> the image embedding [B, dim, g, g]."""
        added = self.detail(stem[:, self.dim :])
        return self.smooth(stem[:, : self.dim]) + added  # type: ignore[no-any-return]


class EmbeddedEncoder(nn.Module):
    """The same parts as segment_anything's ImageEncoderViT has, without any blocks."""

    def __init__(self, network: EmbeddedNetwork, side_px: int) -> None:
        super().__init__()
        self.img_size = side_px
        self.patch_embed = Stem(network)
        self.pos_embed = None
        self.blocks = nn.ModuleList()
        self.neck = Neck(network)

    def forward(self, pixels: Tensor) -> Tensor:
        """The image embedding [B, dim, g, g] of normalised pixels [B, 3, S, S]."""
        return self.neck(self.patch_embed(pixels).permute(0, 3, 1, 2))  # type: ignore[no-any-return]


def new_tiny_sam(side_px: int = SIDE_PX) -> Sam:
    """A Sam whose prompt encoder and mask decoder start from the embedded model's, which are of
    the same classes but had skip connections and no points, boxes or single things to find."""
    network = load_network(weights_path())
    sizes = network.architecture
    grid = side_px // STRIDE_PX
    sam: Any = Sam(
        image_encoder=EmbeddedEncoder(network, side_px),
        prompt_encoder=PromptEncoder(
            embed_dim=sizes.dim,
            image_embedding_size=(grid, grid),
            input_image_size=(side_px, side_px),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=sizes.decoder_depth,
                embedding_dim=sizes.dim,
                num_heads=sizes.decoder_heads,
                mlp_dim=sizes.decoder_mlp_dim,
            ),
            transformer_dim=sizes.dim,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
    )
    sam.prompt_encoder.load_state_dict(network.prompt_encoder.state_dict())
    sam.mask_decoder.load_state_dict(network.mask_decoder.state_dict())
    sam.image_encoder.requires_grad_(False)
    sam.image_encoder.neck.detail.requires_grad_(True)
    return sam.eval()


def save_tiny_sam(sam: Sam, path: Path) -> None:
    """Writes its weights and the side of its input."""
    model: Any = sam
    partial = path.with_suffix(".partial")
    torch.save({"side_px": model.image_encoder.img_size, "weights": model.state_dict()}, partial)
    partial.replace(path)


def load_tiny_sam(path: Path) -> Sam:
    """The Sam of a file that save_tiny_sam wrote."""
    held = torch.load(path, map_location="cpu", weights_only=True)
    sam = new_tiny_sam(held["side_px"])
    sam.load_state_dict(held["weights"])
    return sam
