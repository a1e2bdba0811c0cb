"""Which words are somewhere in a picture, from CLIP's dense features alone."""

from __future__ import annotations

import torch
from torch import Tensor

from promptmatte.models.prompters.calibration import CORE_CELLS
from promptmatte.models.prompters.competition import of_words, standing


def presence(
    features: Tensor, vectors: Tensor, *, scale: float, background: Tensor | None = None
) -> list[float]:
    """How likely, 0..1, each word has some place of the picture to itself.

    features: dense [1, dim, h, w], unit; vectors: of the words, [N, dim], unit; scale: CLIP's
    logit scale. A word competes at each place with the other words and with background
    [M, dim] (needed where there are few words: one alone would always win), but not with
    near-synonyms. What counts is the mean softmax probability of its best few places.
    """
    if not len(vectors):
        return []
    if background is None:
        background = vectors[:0]
    odds = standing(features, of_words(vectors, background), scale=scale).odds.flatten(1)
    best = odds.topk(min(CORE_CELLS, odds.shape[1]), dim=1).values
    return [float(value) for value in torch.sigmoid(best).mean(dim=1)]
