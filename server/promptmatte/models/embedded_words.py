"""The embedded model's words, and what they find in the features of a picture.

Apart from the network that makes the features, as that takes seconds to import (timm).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from promptmatte.models.lexicon import COLOURS

STRIDE = 32
"""Both sides of the network's input are multiples of this."""

MASK_STRIDE = 4

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


class EmbeddedWords(nn.Module):
    """A vector a word and pixel, whose product is a mask.

    Comparing pixels with word vectors follows Li et al. 2022 (LSeg), with learnt vectors in place
    of CLIP's, since a small vocabulary is best taught by its masks. A second vector a word looks at
    the whole picture and says whether the thing is there at all; a third set names the colour of
    each pixel's object.
    """

    def __init__(self, architecture: EmbeddedArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        dim, words = architecture.dim, len(architecture.concepts)
        self.words = nn.Parameter(torch.randn(words, dim) * 0.05)
        self.word_bias = nn.Parameter(torch.full((words,), -3.0))
        self.presence_words = nn.Parameter(torch.randn(words, dim) * 0.05)
        self.presence_bias = nn.Parameter(torch.full((words,), -1.0))
        self.presence_weight = nn.Parameter(torch.tensor(0.5))
        self.colours = nn.Parameter(torch.randn(len(COLOURS), dim) * 0.05)

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
