"""How much more each place is like a phrase than like everything that competes with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from promptmatte.models.clip import ClipNetwork
from promptmatte.models.prompters.background import background, is_related
from promptmatte.prompts import PromptSet

NEAR_SYNONYM = 0.55
"""Cosine of two text vectors less the mean of the background's from which on they mean about
the same. CLIP's texts all lie within a narrow cone (cosines of any two phrases 0.6 to 0.95);
without the common part unrelated ones lie at about 0. With a small text tower that was taught
synonyms: dog and puppy 0.95, man and person 0.91, car and vehicle 0.92; unlike things 0.57 at
most, mostly under 0.3. Not measured on released CLIP weights."""

LIMIT = 10.0
"""Log-odds count up to here: beyond it nothing changes for the eye, and resizing would blur the
largest values over everything near."""

PHRASES_AT_ONCE = 8
"""Phrases whose competition is summed at once; bounds the memory: 8 x 90 x 4096 floats."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Contest:
    """Terms [T] and who competes with each: vectors [V, dim] of the terms, then of the
    background words, all unit; rivals bool [T, V]."""

    vectors: Tensor
    rivals: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Standing:
    """How each term fares at each place, float32 [T, h, w].

    odds: log-odds against all competitors together, so that sigmoid(odds) is the softmax
    probability. margin: how much its logit is over that of the best competitor. Both are
    within LIMIT of zero.
    """

    odds: Tensor
    margin: Tensor


class Competition:
    """The background words of one CLIP, and what every term of a PromptSet competes with."""

    def __init__(self, clip: ClipNetwork) -> None:
        self._clip = clip
        self._words = tuple(background())
        self._vectors = clip.texts(self._words)

    def contest(self, prompts: PromptSet) -> Contest:
        """The terms of a set against the background and, within their prompts, things against
        what is left out. Different prompts do not compete: one may key a part of another."""
        terms = prompts.terms
        vectors = torch.cat([self._clip.texts(terms), self._vectors])
        against = opponents(prompts)
        rows = [
            [other in against[term] for other in terms]
            + [not is_related(term, word) for word in self._words]
            for term in terms
        ]
        rivals = torch.tensor(rows, device=vectors.device)
        near = near_synonyms(vectors[: len(terms)], self._vectors, centre=self._vectors)
        rivals[:, len(terms) :] &= ~near
        return Contest(vectors=vectors, rivals=rivals)


def opponents(prompts: PromptSet) -> dict[str, set[str]]:
    """For each term what it is set against by hand: a thing against the negatives of its
    prompt, a negative against the things of its prompt; "everything" competes with nothing."""
    against: dict[str, set[str]] = {term: set() for term in prompts.terms}
    for prompt in prompts.prompts:
        things = {prompt.text, *prompt.also}
        for thing in things & against.keys():
            against[thing] |= set(prompt.negative) - {thing}
        for term in against.keys() & prompt.negative:
            against[term] |= (things & against.keys()) - {term}
    return against


def near_synonyms(some: Tensor, others: Tensor, *, centre: Tensor) -> Tensor:
    """bool [N, M]: which of the unit vectors some [N, dim] and others [M, dim] mean about the
    same; centre [K, dim]: vectors whose mean is what all texts have in common."""
    middle = centre.mean(dim=0)
    cosine = F.normalize(some - middle, dim=1) @ F.normalize(others - middle, dim=1).T
    return cosine > NEAR_SYNONYM


def standing(features: Tensor, contest: Contest, *, scale: float) -> Standing:
    """How each term of a contest fares on dense features [1, dim, h, w], unit vectors; scale:
    CLIP's logit scale."""
    height, width = features.shape[-2:]
    logits = (contest.vectors @ features[0].flatten(1)) * scale
    odds, margin = [], []
    for start in range(0, len(contest.rivals), PHRASES_AT_ONCE):
        rivals = contest.rivals[start : start + PHRASES_AT_ONCE, :, None]
        own = logits[start : start + len(rivals)]
        others = logits.masked_fill(~rivals, -torch.inf)
        odds.append(own - others.logsumexp(dim=1))
        margin.append(own - others.amax(dim=1))
    both = torch.stack([torch.cat(odds), torch.cat(margin)]).clamp(-LIMIT, LIMIT)
    maps = both.reshape(2, -1, height, width)
    return Standing(odds=maps[0], margin=maps[1])


def of_words(vectors: Tensor, others: Tensor) -> Contest:
    """Words [T, dim] each against all the rest and others [M, dim], but for near-synonyms."""
    everything = torch.cat([vectors, others])
    rivals = ~near_synonyms(vectors, everything, centre=everything)
    rivals[:, : len(vectors)].fill_diagonal_(False)
    return Contest(vectors=everything, rivals=rivals)
