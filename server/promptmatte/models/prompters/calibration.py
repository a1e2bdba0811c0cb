"""The constants and the formula that make a confidence of what was found.

They rest on reasoning and on constructed maps, not on released weights, which were not at hand:
run examples with real weights before trusting a confidence to the digit.
"""

from __future__ import annotations

import math

BLOB_SHARE = 0.5
"""A blob is where the probability is over this share of the map's peak."""

LEAST_PEAK = 0.05
"""A map whose peak is under this probability has no blob: the thing is nowhere."""

CORE_CELLS = 4
"""Cells of the dense grid whose mean is a blob's core; one patch alone is often wrong."""

AGREEMENT = (0.2, 0.4)
"""Under the first soft IoU of SAM's mask and the blob the coarse map alone counts, from the
second on SAM's mask alone; between them they are mixed, as a step would make a matte flip
between two shapes. A mask of three times the blob's area, such as a person of whom the map
shows the upper part, has 0.33."""

UNAIDED = 0.7
"""The share of its confidence that a blob has when SAM sees no such thing there."""


def confidence(*, core_odds: float, core_margin: float, agreement: float) -> float:
    """How sure it is, 0..1, that a blob is the thing.

    core_odds: mean log-odds of the blob's core against all competitors together; core_margin:
    its mean lead in logits over the best of them; agreement: soft IoU with SAM's mask.

    The geometric mean of both probabilities: against all together even a thing that leads
    clearly is low when fifty words each have a little; against the best alone an absent thing
    is at a half wherever two words are equally wrong. Rising in all three; at most 0.1 where
    the core's probability is 0.01, whatever the rest.
    """
    together, best = _sigmoid(core_odds), _sigmoid(core_margin)
    none, full = AGREEMENT
    seen = min(1.0, max(0.0, (agreement - none) / (full - none)))
    return math.sqrt(together * best) * (UNAIDED + (1.0 - UNAIDED) * seen)


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))
