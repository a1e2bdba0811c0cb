"""Held-out photographs with prompts for what is there and for what is not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from promptmatte.training.datasets import Dataset
from promptmatte.training.samples import Crop, read_labelled

LONG_SIDE_PX = 640
SMALLEST_SHARE = 0.005
"""A thing that covers less of a picture than this is not asked for."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One concept by its own name: truth and where it is known, bool [H, W]; present: any."""

    text: str
    truth: Mask
    known: Mask

    @property
    def present(self) -> bool:
        """True if the thing is in the picture."""
        return bool(self.truth.any())


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One picture uint8 [H, W, 3] with its questions."""

    dataset: str
    name: str
    pixels: npt.NDArray[np.uint8]
    questions: list[Question]


def held_out_cases(datasets: Sequence[Dataset], *, count: int, seed: int) -> list[Case]:
    """A random choice of held-out pictures; each is asked for all that covers enough of it, and
    for as many concepts that it surely does not show."""
    rng = random.Random(seed)
    pool = [(dataset, picture) for dataset in datasets for picture in dataset.split()[1]]
    cases = []
    for dataset, picture in rng.sample(pool, min(count, len(pool))):
        labelled = read_labelled(dataset, picture, long_side=LONG_SIDE_PX)
        crop = Crop(dataset=dataset, pixels=labelled.pixels, labels=labelled.labels)
        masks = {concept: crop.mask(concept) for concept in sorted(dataset.concepts)}
        present = [
            Question(text=concept, truth=here & known, known=known)
            for concept, (here, known) in masks.items()
            if here.mean() >= SMALLEST_SHARE
        ]
        absent = [
            concept
            for concept, (here, known) in masks.items()
            if dataset.policy.dense
            and concept not in dataset.policy.bystanders
            and not here.any()
            and known.mean() > 0.7
        ]
        absent += [concept for concept in dataset.policy.elsewhere if concept not in masks]
        nothing = np.zeros(labelled.labels.shape, np.bool_)
        asked = rng.sample(absent, min(len(present), len(absent)))
        missing = [Question(text=concept, truth=nothing, known=~nothing) for concept in asked]
        if present:
            cases.append(
                Case(
                    dataset=dataset.name,
                    name=picture.image.stem,
                    pixels=labelled.pixels,
                    questions=present + missing,
                )
            )
    return cases
