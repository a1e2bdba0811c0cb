"""The network of the embedded model: a feature pyramid whose pixels are compared with words."""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptmatte.models.embedded_words import EmbeddedArchitecture, EmbeddedWords, ImageFeatures

PIXEL_MEAN = 127.0
PIXEL_STD = 128.0

ATTENTION_WIDTH = 192
HEAD_DIM = 32


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


class EmbeddedNetwork(EmbeddedWords):
    """Image -> backbone -> pyramid -> a vector a pixel, for the words.

    The pyramid is that of Lin et al. 2017 with depthwise blocks. Attention over the coarsest grid
    tells each cell of the whole picture.
    """

    def __init__(self, architecture: EmbeddedArchitecture) -> None:
        super().__init__(architecture)
        dim, kernel = architecture.dim, architecture.kernel
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
