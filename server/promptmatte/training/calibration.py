"""Confidence as a probability: Platt's scaling of how sure the network is that a thing is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptmatte.training.metrics import Scores

STEPS = 50
LEAST = 1e-4


def confidences(scores: Scores) -> tuple[list[float], list[float]]:
    """The confidence of everything that was there, and of everything that was not."""
    own = [score for concepts in scores.values() for score in concepts.values()]
    return (
        [c for score in own for c in score.present_confidence],
        [c for score in own for c in score.absent_confidence],
    )


def fitted(present: Sequence[float], absent: Sequence[float]) -> tuple[float, float]:
    """(slope, offset) that turn logits of these confidences into those of probabilities.

    Platt 1999, by Newton's method. Both kinds count half each, however many there are: half of
    what is asked for is there. Without both kinds nothing changes: (1, 0).
    """
    if not len(present) or not len(absent):
        return 1.0, 0.0
    x = np.concatenate([_logits(present), _logits(absent)])
    there = np.concatenate([np.ones(len(present)), np.zeros(len(absent))])
    weight = np.where(there > 0, 0.5 / len(present), 0.5 / len(absent))
    inputs = np.stack([x, np.ones_like(x)], axis=1)
    line = np.array([1.0, 0.0])
    for _ in range(STEPS):
        share = 1 / (1 + np.exp(-inputs @ line))
        slope = inputs.T @ (weight * (share - there)) + LEAST * (line - (1.0, 0.0))
        bend = (inputs * (weight * share * (1 - share))[:, None]).T @ inputs + LEAST * np.eye(2)
        line -= np.linalg.solve(bend, slope)
    return float(line[0]), float(line[1])


def _logits(confidence: Sequence[float]) -> npt.NDArray[np.float64]:
    share = np.clip(np.asarray(confidence, np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(share / (1 - share)))
