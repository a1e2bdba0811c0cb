"""The compact SAM: light backbone, SAM prompt encoder and mask decoder, text as a virtual point."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import timm
import torch
import torch.nn.functional as F
from segment_anything.modeling import PromptEncoder
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from promptmatte.models.decoder import SkipMaskDecoder
from promptmatte.models.text import TextProjection, TextTower

STRIDE = 32
"""Both sides of the network's input are multiples of this."""

PIXEL_MEAN = 127.0
PIXEL_STD = 128.0


@dataclass(frozen=True, kw_only=True)
class EmbeddedArchitecture:
    """The sizes that make one embedded network; stored with its weights."""

    backbone: str = "tf_efficientnet_lite0"
    input_side: int = 320
    dim: int = 256
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 1024
    text_width: int = 192
    text_layers: int = 3
    text_heads: int = 4
    text_context: int = 16

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the weight file's metadata."""
        return asdict(self)

    def input_hw(self, height: int, width: int) -> tuple[int, int]:
        """The network's input size for a picture: its shape, the area of input_side squared."""
        scale = self.input_side / math.sqrt(height * width)
        return (
            max(STRIDE, round(height * scale / STRIDE) * STRIDE),
            max(STRIDE, round(width * scale / STRIDE) * STRIDE),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFeatures:
    """One encoded batch: embedding [B, dim, H/16, W/16], skips at strides 8 and 4."""

    embedding: Tensor
    skips: list[Tensor]

    def repeated(self, counts: Tensor) -> ImageFeatures:
        """The features of picture i, counts[i] times: one row a prompt."""
        return ImageFeatures(
            embedding=self.embedding.repeat_interleave(counts, dim=0),
            skips=[skip.repeat_interleave(counts, dim=0) for skip in self.skips],
        )


class EmbeddedNetwork(nn.Module):
    """Text-prompted segmentation network of about 15 million parameters.

    image -> timm backbone -> neck (stride 16) -+
    text  -> text tower -> TextProjection -> virtual point -+-> SAM mask decoder -> logits, IoU
                                              likeness of both: mask prompt -+
    """

    def __init__(self, architecture: EmbeddedArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        dim = architecture.dim
        self.backbone = timm.create_model(
            architecture.backbone, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
        )
        c4, c8, c16, c32 = self.backbone.feature_info.channels()
        self.lateral16 = nn.Conv2d(c16, dim, 1, bias=False)
        self.lateral32 = nn.Conv2d(c32, dim, 1, bias=False)
        self.context = nn.Conv2d(c32, dim, 1)
        self.smooth = nn.Sequential(
            LayerNorm2d(dim), nn.Conv2d(dim, dim, 3, padding=1, bias=False), LayerNorm2d(dim)
        )
        self.skip8 = nn.Conv2d(c8, dim // 4, 1)
        self.skip4 = nn.Conv2d(c4, dim // 8, 1)
        grid = architecture.input_side // 16
        self.prompt_encoder = PromptEncoder(
            embed_dim=dim,
            image_embedding_size=(grid, grid),
            input_image_size=(architecture.input_side, architecture.input_side),
            mask_in_chans=16,
        )
        self.mask_decoder = SkipMaskDecoder(
            dim=dim,
            depth=architecture.decoder_depth,
            heads=architecture.decoder_heads,
            mlp_dim=architecture.decoder_mlp_dim,
        )
        self.text_tower = TextTower(
            context_length=architecture.text_context,
            width=architecture.text_width,
            heads=architecture.text_heads,
            layers=architecture.text_layers,
            output_dim=dim,
        )
        self.text_projection = TextProjection(text_dim=dim, prompt_dim=dim)
        self.pixel_key = nn.Conv2d(dim, dim, 1)
        self.word_query = nn.Linear(dim, dim)
        self.likeness_scale = nn.Parameter(torch.tensor(10.0))
        self.likeness_bias = nn.Parameter(torch.tensor(-2.0))
        self.text_type = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.empty_position = nn.Parameter(torch.randn(1, 1, dim) * 0.02)

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        """Features of pixels float [B, 3, H, W] in 0..255, H and W multiples of 32."""
        f4, f8, f16, f32 = self.backbone((pixels - PIXEL_MEAN) / PIXEL_STD)
        top = self.lateral32(f32) + self.context(f32.mean(dim=(2, 3), keepdim=True))
        top = F.interpolate(top, size=f16.shape[-2:], mode="bilinear", align_corners=False)
        return ImageFeatures(
            embedding=self.smooth(self.lateral16(f16) + top),
            skips=[self.skip8(f8), self.skip4(f4)],
        )

    def encode_text(self, ids: Tensor) -> Tensor:
        """Sparse tokens [N, 2, dim] of token ids [N, context]: text point, empty position."""
        point = self.text_projection(self.text_tower(ids)).unsqueeze(1) + self.text_type
        return torch.cat([point, self.empty_position.expand(len(point), -1, -1)], dim=1)

    def likeness(self, embedding: Tensor, words: Tensor) -> Tensor:
        """How much each place is like its word, as logits [N, 1, H/4, W/4]: scaled cosine of
        image embedding [N, dim, H/16, W/16] and text point [N, dim]."""
        pixels = F.normalize(self.pixel_key(embedding), dim=1)
        query = F.normalize(self.word_query(words), dim=1)
        cosine = torch.einsum("nchw,nc->nhw", pixels, query).unsqueeze(1)
        logits = cosine * self.likeness_scale + self.likeness_bias
        return F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)

    def decode(self, features: ImageFeatures, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mask logits [N, 3, H/4, W/4] and predicted IoU [N, 3]; a row of features a prompt.

        The likeness map is SAM's mask prompt, and the decoder's masks correct it. By attention
        alone the decoder was slow to tell words apart.
        """
        height, width = features.embedding.shape[-2:]
        position = self.prompt_encoder.pe_layer((height, width)).unsqueeze(0)
        coarse = self.likeness(features.embedding, tokens[:, 0])
        masks, quality = self.mask_decoder.predict(
            image=features.embedding,
            position=position,
            tokens=tokens,
            dense=self.prompt_encoder.mask_downscaling(coarse),
            skips=features.skips,
        )
        return masks + coarse, quality
