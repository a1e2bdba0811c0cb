"""MobileSAM's image encoder: a TinyViT of timm's blocks with SAM's neck."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import ConvNorm, TinyVit
from torch import Tensor, nn

Weights = Mapping[str, Tensor]

PREFIX = "image_encoder."
MARK = PREFIX + "patch_embed.seq.0.c.weight"
"""A key that only MobileSAM's files have."""

SIDE = 1024
"""Input side: nothing in a file tells it."""

UNUSED = ("norm_head.", "head.")
"""Parts of the file for classifying pictures, which the encoder never runs."""

RENAMED = (
    (r"^patch_embed\.seq\.0\.", "patch_embed.conv1."),
    (r"^patch_embed\.seq\.2\.", "patch_embed.conv2."),
    (r"\.c\.weight$", ".conv.weight"),
)
"""What the file calls differently from timm, besides its layers."""


@dataclass(frozen=True, kw_only=True)
class LightArchitecture:
    """The sizes of a TinyViT as an image encoder; widths, depths, heads, windows by stage."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    windows: tuple[int, ...]
    mlp_ratio: float
    dim: int

    @classmethod
    def of(cls, weights: Weights) -> LightArchitecture:
        """What the tensors of a file in MobileSAM's names say; KeyError where one is missing."""
        layers = PREFIX + "layers."
        stages = {int(key[len(layers) :].split(".")[0]) for key in weights if layers in key}
        depths = []
        for stage in sorted(stages):
            blocks = f"{layers}{stage}.blocks."
            depths.append(
                len({key[len(blocks) :].split(".")[0] for key in weights if blocks in key})
            )
        # One head and bias for each distance of rows and columns within a window.
        biases = [
            weights[f"{layers}{s}.blocks.0.attn.attention_biases"].shape
            for s in range(1, len(depths))
        ]
        inner = [
            weights[f"{layers}{s}.blocks.0.attn.proj.weight"].shape[0]
            for s in range(1, len(depths))
        ]
        hidden = weights[f"{layers}1.blocks.0.mlp.fc1.weight"].shape[0]
        return cls(
            widths=(weights[PREFIX + "patch_embed.seq.2.c.weight"].shape[0], *inner),
            depths=tuple(depths),
            heads=(1, *(heads for heads, _ in biases)),
            windows=(1, *(math.isqrt(distances) for _, distances in biases)),
            mlp_ratio=hidden / inner[0],
            dim=weights[PREFIX + "neck.0.weight"].shape[0],
        )


class LightImageEncoder(nn.Module):
    """Pixels [B, 3, side, side] to an image embedding [B, dim, side / 16, side / 16].

    TinyViT (Wu et al. 2022) but for its last stage, which does not shrink, as MobileSAM (Zhang et
    al. 2023) has it.
    """

    def __init__(self, architecture: LightArchitecture, *, side: int = SIDE) -> None:
        super().__init__()
        a = architecture
        self.img_size = side
        trunk: Any = TinyVit(
            num_classes=0,
            embed_dims=a.widths,
            depths=a.depths,
            num_heads=a.heads,
            window_sizes=a.windows,
            mlp_ratio=a.mlp_ratio,
            drop_path_rate=0.0,
        )
        self.patch_embed = trunk.patch_embed
        self.stages = trunk.stages
        self.stages[-1].downsample.conv2.conv.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(a.widths[-1], a.dim, kernel_size=1, bias=False),
            LayerNorm2d(a.dim),
            nn.Conv2d(a.dim, a.dim, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(a.dim),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """The embedding; the neck runs in its own format."""
        features = self.stages(self.patch_embed(pixels))
        embedding: Tensor = self.neck(features.to(self.neck[0].weight.dtype))
        return embedding

    def fuse(self) -> None:
        """Folds every batch norm into the convolution before it, for inference only."""
        for module in list(self.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, ConvNorm):
                    setattr(module, name, child.fuse())


def renamed(weights: Weights) -> dict[str, Tensor]:
    """A file's tensors by this project's names: the encoder's renamed, the rest as they are.

    MobileSAM counts the step down to a stage as the end of the layer before, timm as the
    beginning of the stage.
    """
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        name = key.removeprefix(PREFIX)
        if name == key:
            found[key] = value
            continue
        if name.startswith(UNUSED) or name.endswith("attention_bias_idxs"):
            continue
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        step = re.match(r"layers\.(\d+)\.(downsample\.|)", name)
        if step:
            stage = int(step[1]) + bool(step[2])
            name = f"stages.{stage}.{step[2]}{name[step.end() :]}"
        found[PREFIX + name] = value
    return found
