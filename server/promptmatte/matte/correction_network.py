"""The network that corrects a carried mask by what the picture shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDE = 8
"""Pixels of a cell: the sides of pictures are multiples of it (luma.STEP_PX)."""

KEY_DIM = 24
PLACE_SCALE = 8
"""Cells that count as one in the distance between places."""

EVIDENCE = 4
"""Planes of evidence for a prompt: carried mask, previous result, colour odds, photometric
error; see MaskCorrector."""


def _conv(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class PictureEncoder(nn.Module):
    """Features of a picture at strides 4 and 8, and the keys by which its places are found."""

    def __init__(self) -> None:
        super().__init__()
        self.at_half = _conv(3, 8, stride=2)
        self.at_quarter = nn.Sequential(_conv(8, 24, stride=2), _conv(24, 24))
        self.at_eighth = nn.Sequential(_conv(24, 48, stride=2), _conv(48, 48), _conv(48, 48))
        self.key = nn.Conv2d(48, KEY_DIM, 1)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """picture [B, 3, H, W] 0..1 -> [B, 24, H/4, W/4], [B, 48, H/8, W/8], [B, 24, H/8, W/8]."""
        quarter = self.at_quarter(self.at_half(picture - 0.45))
        eighth = self.at_eighth(quarter)
        return quarter, eighth, self.key(eighth)


class CorrectionNetwork(nn.Module):
    """Masks of the current frame from evidence and from where the anchor frame's places went.

    Every place of the current frame looks for its like in the anchor frame, near where the
    motion says it came from, and brings along the mask found there (space-time memory
    reading: Oh et al. 2019). A small U-Net then weighs, pixel by pixel, how far each piece
    of evidence is to be believed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = PictureEncoder()
        self.sharpness = nn.Parameter(torch.tensor(2.0))
        self.nearness = nn.Parameter(torch.tensor(-1.0))
        self.evidence = _conv(16 * EVIDENCE, 24, size=1)
        self.down = _conv(48, 32)
        self.middle = nn.Sequential(_conv(32 + 48 + KEY_DIM + 4, 56), _conv(56, 56))
        self.up = _conv(56, 32, size=1)
        self.join = _conv(64, 32)
        self.weights = nn.Conv2d(32, 4, 1)
        self.detail = nn.Conv2d(32, 16, 1)
        self.quality = nn.Linear(56 + 32, 1)

    def fused(self) -> CorrectionNetwork:
        """Itself, for use only, each batch norm folded into the convolution before it."""
        for layers in self.modules():
            if not isinstance(layers, nn.Sequential):
                continue
            convolution, norm = layers[0], layers[1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[0] = fuse_conv_bn_eval(convolution, norm)
                del layers[1]
        return self

    def memory(self, key: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """What is looked for in an anchor frame, and what is found with it: rows [B, N, D].

        key: [B, 24, h, w] of the anchor; masks: its mask_cells [B, P*4, h, w].
        """
        there = F.normalize(key.flatten(2), dim=1)
        place = _places(key) / PLACE_SCALE
        keys = torch.cat([there, place, (place * place).sum(1, keepdim=True)], 1)
        values = torch.cat([there, masks.flatten(2)], 1)
        return _rows(keys, values.shape[1]), _rows(values, values.shape[1])

    def read(
        self, key: Tensor, memory: tuple[Tensor, Tensor], origin: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the current frame's places find: how unlike it they are, and the masks there.

        key: [B, 24, h, w] of the current frame; origin: [B, 2, h, w], the place (x, y in
        cells) that the motion says each came from. Returns [B, 24, h, w] and [B, P*4, h, w].
        """
        batch, _, height, width = key.shape
        own = F.normalize(key.flatten(2), dim=1)
        near = self.nearness.exp()
        # -near * |origin - place|^2, less what is the same for all places, as a product.
        query = torch.cat(
            [
                own * self.sharpness.exp(),
                origin.flatten(2) * (2 * near / PLACE_SCALE),
                -near.expand(batch, 1, height * width),
            ],
            1,
        )
        keys, values = memory
        query = _rows(query, keys.shape[2])
        found = F.scaled_dot_product_attention(query, keys, values, scale=1.0).transpose(1, 2)
        unlike = own - found[:, :KEY_DIM]
        return (
            unlike.reshape(batch, KEY_DIM, height, width),
            found[:, KEY_DIM:].reshape(batch, -1, height, width),
        )

    def correct(
        self, quarter: Tensor, eighth: Tensor, unlike: Tensor, found: Tensor, evidence: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, H, W] of the masks, and the overlap with the truth that is expected of
        each, as a logit [B].

        quarter, eighth: of the picture; unlike [B, 24, h, w]: key less the key found; found
        [B, 4, h, w]: the mask found; evidence [B, 4, H, W]: carried mask, previous result and
        colour odds, -1 (not it) to 1 (it), and photometric error, 0 to 1.
        """
        fine = torch.cat([quarter, self.evidence(F.pixel_unshuffle(evidence, 4))], 1)
        fine = self.down(fine)
        coarse = torch.cat([F.avg_pool2d(fine, 2), eighth, unlike, found], 1)
        context = self.middle(coarse)
        coarse = self.up(context)
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        joint = self.join(torch.cat([fine, coarse], 1))
        weights = self.weights(joint)
        weights = torch.cat([F.softplus(weights[:, :3]), weights[:, 3:]], 1)
        weights = F.interpolate(weights, scale_factor=4.0, mode="bilinear", align_corners=False)
        voted = (weights[:, :3] * evidence[:, :3]).sum(1)
        detail = F.pixel_shuffle(self.detail(joint), 4)[:, 0]
        logits = 4 * (voted + weights[:, 3]) + detail
        cover = F.avg_pool2d(torch.sigmoid(logits.detach())[:, None], 4)
        inside = (joint * cover).sum((2, 3)) / (cover.sum((2, 3)) + 1)
        quality = self.quality(torch.cat([context.mean((2, 3)), inside], 1))[:, 0]
        return logits, quality

    def forward(
        self, picture: Tensor, anchor: Tensor, anchor_mask: Tensor, origin: Tensor, evidence: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, H, W] for one prompt a picture, and their quality; see read and correct.

        picture, anchor: [B, 3, H, W]; anchor_mask [B, H, W]; H, W multiples of 8.
        """
        quarter, eighth, key = self.encoder(picture)
        anchor_key = self.encoder(anchor)[2]
        memory = self.memory(anchor_key, mask_cells(anchor_mask[:, None]))
        unlike, found = self.read(key, memory, origin)
        return self.correct(quarter, eighth, unlike, found, evidence)


def mask_cells(masks: Tensor) -> Tensor:
    """[B, P, H, W] -> [B, P*4, H/8, W/8]: the means of the four quarters of each cell."""
    return F.pixel_unshuffle(F.avg_pool2d(masks, 4), 2)


def _places(key: Tensor) -> Tensor:
    """The x, y of each cell, [B, 2, N]."""
    batch, _, height, width = key.shape
    rows, columns = torch.meshgrid(
        torch.arange(height, device=key.device, dtype=key.dtype),
        torch.arange(width, device=key.device, dtype=key.dtype),
        indexing="ij",
    )
    return torch.stack([columns, rows]).flatten(1).expand(batch, -1, -1)


def _rows(columns: Tensor, length: int) -> Tensor:
    """[B, D, N] as rows [B, N, length], filled up with zeros: the fast attention kernel wants
    rows of one length, each in one piece."""
    return F.pad(columns, (0, 0, 0, length - columns.shape[1])).transpose(1, 2).contiguous()
