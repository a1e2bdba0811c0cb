"""One mask for each prompt from the masks of its terms: union with `also`, less `negative`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptmatte.models.protocol import Decoded
from promptmatte.prompts import Prompt, PromptSet

Logits = npt.NDArray[np.float32]
Shares = tuple[float, float]

PRESENT_ALSO = (0.25, 0.5)
"""A further thing counts from the second share of the best confidence of its prompt on, and not
at all under the first: that of an absent one is wrong wherever it is."""

PRESENT_NEGATIVE = (0.125, 0.25)
"""The same for what is left out: a part, such as the hair of a person, is found with much less
confidence than the whole (astronaut picture, embedded model: hair 0.21, person 0.79, things that
are not there 0.00 to 0.10)."""

ABSENT_LOGITS = 60.0
"""Taken off the logits of an absent thing, so that nothing of it is left."""


def combined(prompts: PromptSet, logits: Logits, confidence: Sequence[float]) -> Decoded:
    """What was found of each prompt, from what was found of each term.

    logits: float32 [T, h, w] and a confidence 0..1 each, in the order of prompts.terms.
    A union has the larger logit and the larger confidence of its things, a difference the
    smaller of the logit and the negated one of what is left out (the maximum and minimum
    of Zadeh's fuzzy sets, 1965). A term that is hardly there has no say.
    """
    rows = dict(zip(prompts.terms, zip(logits, confidence, strict=True), strict=True))
    found = [_found(prompt, rows) for prompt in prompts.prompts]
    return Decoded(
        logits=np.stack([mask for mask, _ in found]),
        confidence=tuple(round(best, 4) for _, best in found),
    )


def _found(prompt: Prompt, rows: dict[str, tuple[Logits, float]]) -> tuple[Logits, float]:
    things = [rows[term] for term in (prompt.text, *prompt.also)]
    best = max(confidence for _, confidence in things)
    mask = things[0][0]
    if len(things) > 1:
        masks = [weighed(*thing, best, PRESENT_ALSO) for thing in things]
        mask = np.maximum.reduce(masks)
    for term in prompt.negative:
        mask = np.minimum(mask, -weighed(*rows[term], best, PRESENT_NEGATIVE))
    return mask, best


def weighed(logits: Logits, confidence: float, best: float, present: tuple[float, float]) -> Logits:
    """The logits of a term, lowered as far as it is absent. The step is a slope, as a
    confidence that hovers about a limit must not make a thing blink."""
    none, full = present
    absent = (full * best - confidence) / ((full - none) * best) if best > 0.0 else 0.0
    return logits - np.float32(ABSENT_LOGITS * min(1.0, max(0.0, absent)))
