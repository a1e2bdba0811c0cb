"""First stage of training: the text tower alone learns which words mean the same.

Trained together with the masks from the start, the small tower settled on two meanings
("something", "nothing") and stayed there. So it first learns to tell concept and colour of
a prompt, from words alone, and is frozen afterwards.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptmatte.models.text import TextTower
from promptmatte.training.datasets import Dataset
from promptmatte.training.vocabulary import COLOURED, COLOURS, NONSENSE, SYNONYMS, phrase

BATCH = 192
SHARPNESS = 12.0
NOTHING = "nothing"


def all_concepts(datasets: Sequence[Dataset]) -> list[str]:
    """Every concept that a prompt may name, the one for unknown words first."""
    known = set(SYNONYMS)
    for dataset in datasets:
        known |= set(dataset.concepts) | set(dataset.policy.elsewhere)
    return [NOTHING, *sorted(known)]


def train_text_tower(
    tower: TextTower,
    concepts: Sequence[str],
    *,
    steps: int,
    seed: int,
    progress: Callable[[int, float], None],
) -> float:
    """Trains the tower in place; returns the share of prompts it understood at the end.

    Cross-entropy of the features' cosine to a direction for each concept and each colour,
    so that synonyms meet and different things part.
    """
    torch.manual_seed(seed)
    device = next(tower.parameters()).device
    dim = tower.output_dim
    things = nn.Parameter(torch.randn(len(concepts), dim, device=device))
    colours = nn.Parameter(torch.randn(len(COLOURS) + 1, dim, device=device))
    optimizer = torch.optim.AdamW(
        [{"params": [things, colours], "lr": 3e-3}, {"params": tower.parameters(), "lr": 6e-4}],
        weight_decay=0.01,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=[3e-3, 6e-4], total_steps=max(2, steps), pct_start=0.15
    )
    rng = random.Random(seed)
    understood = 0.0
    for step in range(1, steps + 1):
        texts, thing_ids, colour_ids = _draw(concepts, rng)
        features = tower(tower.tokenize(texts).to(device))
        thing, colour = _similarity(features, things), _similarity(features, colours)
        thing_target = torch.tensor(thing_ids, device=device)
        loss = F.cross_entropy(thing, thing_target)
        loss = loss + 0.5 * F.cross_entropy(colour, torch.tensor(colour_ids, device=device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        right = float((thing.argmax(1) == thing_target).float().mean())
        understood += 0.1 * (right - understood)
        progress(step, understood)
    return understood


def _similarity(features: Tensor, directions: Tensor) -> Tensor:
    return SHARPNESS * F.normalize(features, dim=1) @ F.normalize(directions, dim=1).T


def _draw(concepts: Sequence[str], rng: random.Random) -> tuple[list[str], list[int], list[int]]:
    texts, thing_ids, colour_ids = [], [], []
    for _ in range(BATCH):
        index = rng.randrange(len(concepts))
        concept, colour = concepts[index], None
        if concept == NOTHING or rng.random() < 0.1:
            index, concept = 0, _unknown_word(rng)
        elif concept in COLOURED and rng.random() < 0.4:
            colour = rng.choice(COLOURS)
        texts.append(phrase(concept, rng, colour=colour))
        thing_ids.append(index)
        colour_ids.append(1 + COLOURS.index(colour) if colour else 0)
    return texts, thing_ids, colour_ids


def _unknown_word(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(NONSENSE)
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 9)))
