"""The loss of prompted masks: cross-entropy and Dice on known pixels, and predicted quality."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_losses(logits: Tensor, target: Tensor, valid: Tensor, present: Tensor) -> Tensor:
    """Loss [N, K] of K candidate masks [N, K, h, w] against targets [N, h, w] in 0..1.

    Cross-entropy over the known pixels (valid [N, h, w]) for every prompt; Dice loss (Milletari
    et al. 2016) where the thing is present [N].
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


def prompt_loss(
    logits: Tensor, quality: Tensor, target: Tensor, valid: Tensor, present: Tensor
) -> Tensor:
    """Scalar loss of candidates [N, K, h, w] and their predicted quality [N, K].

    The best candidate counts most, as in Kirillov et al. 2023, but all of them count: a word is
    less ambiguous than a click, and a network that may guess K times learns to pass the word
    over. Quality is pulled to the IoU, 0 for absent things.
    """
    losses = mask_losses(logits, target, valid, present)
    masks = 0.3 * losses.min(dim=1).values + 0.7 * losses.mean(dim=1)
    return masks.mean() + F.mse_loss(quality, mask_iou(logits, target, valid))
