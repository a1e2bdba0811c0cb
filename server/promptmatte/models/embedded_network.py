"""The network of the embedded model: a feature pyramid whose pixels are compared with words."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptmatte.models.lexicon import COLOURS

STRIDE = 32
"""Both sides of the network's input are multiples of this."""

MASK_STRIDE = 4

PIXEL_MEAN = 127.0
PIXEL_STD = 128.0

ATTENTION_WIDTH = 192
HEAD_DIM = 32

TOP_SHARE = 0.01
"""The share of the grid whose strongest logits speak for a thing's presence."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedArchitecture:
    """The sizes that make one embedded network, and its words; stored with its weights.

    dim: width of the pyramid and of a word's vector. kernel: side of its depthwise convolutions.
    attention: layers over the coarsest grid.
    """

    concepts: tuple[str, ...]
    backbone: str = "tf_efficientnet_lite2"
    input_side: int = 384
    dim: int = 128
    kernel: int = 5
    attention: int = 2

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the weight file's metadata."""
        return {**asdict(self), "concepts": list(self.concepts)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EmbeddedArchitecture:
        """The architecture that as_dict told of; TypeError or KeyError for other values."""
        return cls(**{**values, "concepts": tuple(values["concepts"])})

    def input_hw(self, height: int, width: int) -> tuple[int, int]:
        """The network's input size for a picture: its shape, the area of input_side squared."""
        return sized(self.input_side, height, width)


def sized(side: int, height: int, width: int) -> tuple[int, int]:
    """A size of the shape of height x width, in steps of STRIDE, with the area of side squared."""
    scale = side / math.sqrt(height * width)
    return (
        max(STRIDE, round(height * scale / STRIDE) * STRIDE),
        max(STRIDE, round(width * scale / STRIDE) * STRIDE),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFeatures:
    """One encoded batch: pixels [B, dim, H/4, W/4] and a summary [B, dim] of the picture."""

    pixels: Tensor
    summary: Tensor


class Residual(nn.Module):
    """x + a depthwise and a pointwise convolution of it, [B, dim, h, w]."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False),
            nn.BatchNorm2d(dim),
            nn.Conv2d(dim, dim, 1, bias=False),
            nn.BatchNorm2d(dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum, rectified."""
        return F.relu(x + self.layers(x))


class AttentionLayer(nn.Module):
    """Every cell of a grid looks at every other, [B, h*w, width].

    A layer of a transformer that normalises first (Xiong et al. 2020).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.own = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The cells after the exchange."""
        b, n, width = x.shape
        split = self.queries_keys_values(self.norm(x)).view(b, n, 3, width // HEAD_DIM, HEAD_DIM)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, width)
        x = x + self.mixed(found)
        seen: Tensor = x + self.own(x)
        return seen


class Attention(nn.Module):
    """The coarsest level [B, channels, h, w] seen as a whole; at first it says nothing.

    What is beside or above what is told by a depthwise convolution (Chu et al. 2021), so that any
    size and shape will do.
    """

    def __init__(self, channels: int, dim: int, layers: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, ATTENTION_WIDTH, 1)
        self.place = nn.Conv2d(
            ATTENTION_WIDTH, ATTENTION_WIDTH, 3, padding=1, groups=ATTENTION_WIDTH
        )
        self.layers = nn.Sequential(*(AttentionLayer(ATTENTION_WIDTH) for _ in range(layers)))
        self.norm = nn.LayerNorm(ATTENTION_WIDTH)
        self.out = nn.Linear(ATTENTION_WIDTH, 2 * dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """What the whole says of each cell [B, dim, h, w], and of the picture [B, dim]."""
        x = self.narrow(level)
        x = x + self.place(x)
        h, w = x.shape[-2:]
        found = self.out(self.norm(self.layers(x.flatten(2).transpose(1, 2))))
        cells, whole = found.chunk(2, dim=2)
        return cells.transpose(1, 2).unflatten(2, (h, w)), whole.mean(dim=1)


class EmbeddedNetwork(nn.Module):
    """Image -> backbone -> pyramid -> a vector a pixel; a mask is their product with a word's.

    The pyramid is that of Lin et al. 2017 with depthwise blocks; comparing pixels with word
    vectors follows Li et al. 2022 (LSeg), with learnt vectors in place of CLIP's, since a small
    vocabulary is best taught by its masks. Attention over the coarsest grid tells each cell of the
    whole picture. A second vector a word looks at the whole picture and
    says whether the thing is there at all; a third set names the colour of each pixel's object.
    """

    def __init__(self, architecture: EmbeddedArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        dim, kernel = architecture.dim, architecture.kernel
        words = len(architecture.concepts)
        self.backbone = timm.create_model(
            architecture.backbone, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
        )
        channels = self.backbone.feature_info.channels()
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, dim, 1, bias=False), nn.BatchNorm2d(dim)) for c in channels
        )
        self.context = nn.Sequential(
            nn.Conv2d(channels[-1], dim, 1), nn.ReLU(), nn.Conv2d(dim, dim, 1)
        )
        self.attention = (
            Attention(channels[-1], dim, architecture.attention) if architecture.attention else None
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Residual(dim, kernel) for _ in range(count))) for count in (1, 1, 2, 2)
        )
        self.summary = nn.Sequential(
            nn.Linear(channels[-1] + channels[-2], dim), nn.ReLU(), nn.Dropout(0.2)
        )
        self.words = nn.Parameter(torch.randn(words, dim) * 0.05)
        self.word_bias = nn.Parameter(torch.full((words,), -3.0))
        self.presence_words = nn.Parameter(torch.randn(words, dim) * 0.05)
        self.presence_bias = nn.Parameter(torch.full((words,), -1.0))
        self.presence_weight = nn.Parameter(torch.tensor(0.5))
        self.colours = nn.Parameter(torch.randn(len(COLOURS), dim) * 0.05)

    def encode_image(self, pixels: Tensor) -> ImageFeatures:
        """Features of pixels float [B, 3, H, W] in 0..255, H and W multiples of 32."""
        levels = self.backbone((pixels - PIXEL_MEAN) / PIXEL_STD)
        middle = levels[2].mean(dim=(2, 3), keepdim=True)
        top = levels[3].mean(dim=(2, 3), keepdim=True)
        x = self.laterals[3](levels[3]) + self.context(top)
        summary = self.summary(torch.cat([top, middle], dim=1).flatten(1))
        if self.attention is not None:
            cells, whole = self.attention(levels[3])
            x, summary = x + cells, summary + whole
        x = self.blocks[3](F.relu(x))
        for level in (2, 1, 0):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.blocks[level](F.relu(self.laterals[level](levels[level]) + x))
        return ImageFeatures(pixels=x, summary=summary)

    def masks(self, features: ImageFeatures, concepts: Tensor) -> Tensor:
        """Mask logits [B, Q, H/4, W/4] of the concepts int64 [B, Q] of each picture."""
        words = self.words[concepts]
        b, q, dim = words.shape
        h, w = features.pixels.shape[-2:]
        logits = torch.bmm(words, features.pixels.reshape(b, dim, h * w)).view(b, q, h, w)
        return logits + self.word_bias[concepts][:, :, None, None]

    def presence(self, features: ImageFeatures, concepts: Tensor, masks: Tensor) -> Tensor:
        """Logits [B, Q] of each concept being in the picture, from its summary and masks."""
        top = max(1, int(masks.shape[-2] * masks.shape[-1] * TOP_SHARE))
        strongest = masks.flatten(2).topk(top, dim=2).values.mean(dim=2)
        whole = torch.einsum("bqd,bd->bq", self.presence_words[concepts], features.summary)
        return strongest * self.presence_weight + whole + self.presence_bias[concepts]

    def colour_logits(self, features: ImageFeatures) -> Tensor:
        """Logits [B, 11, H/4, W/4] of the colour names of what each pixel belongs to."""
        return torch.einsum("kd,bdhw->bkhw", self.colours, features.pixels)
