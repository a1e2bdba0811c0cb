"""Losses of prompted masks: cross-entropy and Dice on known pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_losses(logits: Tensor, target: Tensor, valid: Tensor, present: Tensor) -> Tensor:
    """Loss [N, K] of K candidate masks [N, K, h, w] against targets [N, h, w] in 0..1.

    Cross-entropy over the known pixels (valid [N, h, w], a weight 0..1) for every prompt; Dice
    loss (Milletari et al. 2016) where the thing is present [N].
    """
    target, valid = target.unsqueeze(1), valid.unsqueeze(1)
    area = valid.sum((2, 3)).clamp(min=1.0)
    entropy = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
    entropy = (entropy * valid).sum((2, 3)) / area
    alpha = logits.sigmoid() * valid
    target = target * valid
    overlap = (alpha * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (alpha.sum((2, 3)) + target.sum((2, 3)) + 1)
    return entropy + dice * present.float().unsqueeze(1)


@torch.no_grad()
def mask_iou(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """IoU [N, K] of thresholded candidates; 0 where nothing is present."""
    here = (target > 0.5).unsqueeze(1) & (valid > 0).unsqueeze(1)
    mask = (logits > 0) & (valid > 0).unsqueeze(1)
    union = (mask | here).sum((2, 3)).clamp(min=1)
    iou: Tensor = (mask & here).sum((2, 3)) / union
    return iou


ABSENT_WEIGHT = 0.5
PRESENCE_WEIGHT = 0.5
COLOUR_WEIGHT = 0.3
UNKNOWN_COLOUR = 255
UNKNOWN = 255


def concept_loss(
    masks: Tensor, target: Tensor, valid: Tensor, present: Tensor, emphasis: Tensor
) -> Tensor:
    """Scalar loss of mask logits [B, Q, h, w].

    target and valid float [B, Q, h, w], present bool [B, Q]; emphasis: the weight of each,
    float [B, Q]. An absent thing counts less than a present one, as it only pushes down.
    """
    losses = mask_losses(
        masks.flatten(0, 1).unsqueeze(1), target.flatten(0, 1), valid.flatten(0, 1),
        present.flatten(),
    ).view(present.shape)  # fmt: skip
    weight = torch.where(present, 1.0, ABSENT_WEIGHT) * emphasis
    return (losses * weight).sum() / weight.sum()


def presence_loss(presence: Tensor, there: Tensor) -> Tensor:
    """Scalar cross-entropy of presence logits [B, C] against what is there [B, C]: 1, 0 or
    UNKNOWN. What is there and what is not count half each, however many they are."""
    entropy = F.binary_cross_entropy_with_logits(presence, (there == 1).float(), reduction="none")
    halves = [(entropy * own).sum() / own.sum().clamp(min=1) for own in (there == 1, there == 0)]
    return PRESENCE_WEIGHT * (halves[0] + halves[1]) / 2


def colour_loss(logits: Tensor, names: Tensor) -> Tensor:
    """Weighted cross-entropy of colour logits [B, 11, h, w]; names int64 [B, h, w], 255 unknown."""
    known = (names != UNKNOWN_COLOUR).sum().clamp(min=1)
    entropy = F.cross_entropy(logits, names, ignore_index=UNKNOWN_COLOUR, reduction="sum")
    return COLOUR_WEIGHT * entropy / known
