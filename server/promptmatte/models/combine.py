"""One mask for each prompt from the masks of its terms: union with `also`, less `negative`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptmatte.models.protocol import Decoded
from promptmatte.prompts import Prompt, PromptSet, is_everything

Logits = npt.NDArray[np.float32]
Shares = tuple[float, float]

PRESENT_ALSO = (0.25, 0.5)
"""A further thing counts from the second share of the best confidence of its prompt on, and not
at all under the first: that of an absent one is wrong wherever it is."""

PRESENT_NEGATIVE = (0.125, 0.25)
"""The same for what is left out: a part, such as the hair of a person, is found with much less
confidence than the whole (astronaut picture, embedded model: hair 0.21, person 0.79, things that
are not there 0.00 to 0.10)."""

PRESENT_IN_EVERYTHING = (0.15, 0.3)
"""The same for what is left out of everything, but of 1: the whole picture is there for sure,
which says nothing of how surely a model finds a thing in it. A sky is left out fully from the
confidence on at which the prompt "sky" would show it (the default of confidence_floor)."""

EVERYWHERE = 10.0
"""The logit of "everything" at every place; its confidence is 1."""

UNASKED = np.zeros((0, 1, 1), np.float32)

ABSENT_LOGITS = 60.0
"""Taken off the logits of an absent thing, so that nothing of it is left."""


def combined(
    prompts: PromptSet, logits: Logits = UNASKED, confidence: Sequence[float] = ()
) -> Decoded:
    """What was found of each prompt, from what was found of each term.

    logits: float32 [T, h, w] and a confidence 0..1 each, in the order of prompts.terms; none
    where there are no terms, as for the prompt "everything" alone. A union has the larger logit
    and the larger confidence of its things, a difference the smaller of the logit and the
    negated one of what is left out (the maximum and minimum of Zadeh's fuzzy sets, 1965). A
    term that is hardly there has no say.
    """
    rows = dict(zip(prompts.terms, zip(logits, confidence, strict=True), strict=True))
    everywhere = np.full(logits.shape[1:], EVERYWHERE, np.float32)
    for term in {term for prompt in prompts.prompts for term in prompt.terms} - rows.keys():
        rows[term] = everywhere, 1.0
    found = [_found(prompt, rows) for prompt in prompts.prompts]
    return Decoded(
        logits=np.stack([mask for mask, _ in found]) if found else UNASKED,
        confidence=tuple(round(best, 4) for _, best in found),
    )


def _found(prompt: Prompt, rows: dict[str, tuple[Logits, float]]) -> tuple[Logits, float]:
    things = [rows[term] for term in (prompt.text, *prompt.also)]
    best = max(confidence for _, confidence in things)
    mask = things[0][0]
    if len(things) > 1:
        masks = [weighed(*thing, best, PRESENT_ALSO) for thing in things]
        mask = np.maximum.reduce(masks)
    everything = any(is_everything(term) for term in (prompt.text, *prompt.also))
    present = PRESENT_IN_EVERYTHING if everything else PRESENT_NEGATIVE
    for term in prompt.negative:
        mask = np.minimum(mask, -weighed(*rows[term], 1.0 if everything else best, present))
    return mask, best


def weighed(logits: Logits, confidence: float, best: float, present: tuple[float, float]) -> Logits:
    """The logits of a term, lowered as far as it is absent. The step is a slope, as a
    confidence that hovers about a limit must not make a thing blink."""
    none, full = present
    absent = (full * best - confidence) / ((full - none) * best) if best > 0.0 else 0.0
    return logits - np.float32(ABSENT_LOGITS * min(1.0, max(0.0, absent)))
