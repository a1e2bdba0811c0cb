"""Prompts on encoded pictures: things by their looks, or by their names, and absent ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from promptmatte.models.prompters.projection_network import GridFeatures
from promptmatte.training.datasets import Dataset
from promptmatte.training.projection_features import Encoded, FeatureStore, Variant
from promptmatte.training.samples import SMALLEST_SHARE, Crop
from promptmatte.training.vocabulary import NONSENSE, phrase

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

PHRASES = 8
"""Ways to say a concept beside its own name, drawn once for a training run."""

ABSENT = 0.5
LOOKS_AMONG_NAMES = 0.3
"""Share of pictures that are still asked by looks when names are trained, so that words without
labels are not forgotten."""

ALIKE, DIFFERENT = 95.0, 50.0
"""Percentiles of the likeness of things in different pictures. Two things of one picture that are
more alike than ALIKE may be of one name; a thing less like each of a picture's than DIFFERENT is
taken as absent from it."""

ABSENT_DRAWS = 20
PAIRS = 4000


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """One prompt: a word float32 [dim], target and validity bool [h, w] over the picture."""

    word: Floats
    target: Mask
    valid: Mask

    @property
    def present(self) -> bool:
        """True if the thing is in the picture."""
        return bool(self.target.any())


@dataclass(frozen=True, kw_only=True, eq=False)
class ProjectionBatch:
    """Pictures, and the queries of all of them in one row; rows [N] say whose they are.

    words float32 [N, dim]; target and valid float32 [N, 4g, 4g], unknown in the padding;
    present bool [N].
    """

    features: GridFeatures
    rows: Tensor
    words: Tensor
    target: Tensor
    valid: Tensor
    present: Tensor

    @classmethod
    def of(cls, pictures: Sequence[tuple[Encoded, list[Query]]]) -> ProjectionBatch:
        """The batch of pictures, each with its queries."""
        features = [
            GridFeatures.of(
                image=torch.from_numpy(encoded.image).unsqueeze(0),
                clip=torch.from_numpy(encoded.clip).unsqueeze(0),
                grid_hw=(encoded.clip.shape[1], encoded.clip.shape[2]),
            )
            for encoded, _ in pictures
        ]
        queries = [query for _, own in pictures for query in own]
        side = 4 * pictures[0][0].image.shape[-1]
        return cls(
            features=GridFeatures.stacked(features),
            rows=torch.tensor([i for i, (_, own) in enumerate(pictures) for _ in own]),
            words=torch.from_numpy(np.stack([query.word for query in queries])),
            target=_squared([query.target for query in queries], side),
            valid=_squared([query.valid for query in queries], side),
            present=torch.tensor([query.present for query in queries]),
        )

    def to(self, device: torch.device) -> ProjectionBatch:
        """The same on a device."""
        return ProjectionBatch(
            features=self.features.to(device),
            rows=self.rows.to(device),
            words=self.words.to(device),
            target=self.target.to(device),
            valid=self.valid.to(device),
            present=self.present.to(device),
        )


class Looks:
    """Stand-ins for words: CLIP's image embeddings of things, brought to where texts lie.

    Texts and images lie apart in CLIP's space (Liang et al. 2022, the modality gap). Each is
    taken relative to its own mean, and a stand-in gets noise so that what is learnt holds for
    its surroundings too, where the text will be (Nukrai et al. 2022). noise: its length beside
    the vector's 1, at most.
    """

    def __init__(self, vectors: dict[Variant, Floats], *, noise: float, seed: int) -> None:
        self._noise = noise
        stacked = np.concatenate(list(vectors.values()))
        centre = stacked.mean(axis=0)
        self._of = {variant: _unit(own - centre) for variant, own in vectors.items()}
        self._all = _unit(stacked - centre)
        rng = np.random.default_rng(seed)
        pairs = rng.integers(0, len(stacked), (2, PAIRS))
        likeness = (self._all[pairs[0]] * self._all[pairs[1]]).sum(axis=1)
        self._alike, self._different = np.percentile(likeness, (ALIKE, DIFFERENT))

    def queries(
        self, variant: Variant, encoded: Encoded, count: int, rng: np.random.Generator
    ) -> list[Query]:
        """Queries by looks on one picture: its things, and things of other pictures."""
        own = self._of[variant]
        queries = []
        for _ in range(count):
            if len(own) and rng.random() >= ABSENT:
                queries.append(self._present(int(rng.integers(len(own))), own, encoded, rng))
            else:
                queries.append(self._absent(variant, own, encoded, rng))
        return queries

    def _present(
        self, index: int, own: Floats, encoded: Encoded, rng: np.random.Generator
    ) -> Query:
        target = encoded.regions[index]
        alike = own @ own[index] > self._alike
        alike[index] = False
        unsure = np.asarray(encoded.regions[alike].any(axis=0)) & ~target
        return Query(word=self._noisy(own[index], rng), target=target, valid=~unsure)

    def _absent(
        self, variant: Variant, own: Floats, encoded: Encoded, rng: np.random.Generator
    ) -> Query:
        drawn = self._all[rng.integers(len(self._all), size=ABSENT_DRAWS)]
        vector = drawn[0]
        if len(own):
            likeness = (drawn @ own.T).max(axis=1)
            fits = np.flatnonzero(likeness < self._different)
            vector = drawn[fits[0] if len(fits) else likeness.argmin()]
        valid = np.ones(encoded.labels.shape, np.bool_)
        if not variant.dataset.policy.dense:
            # Where nothing is labelled there may be anything.
            valid = np.asarray(encoded.regions.any(axis=0))
        return Query(word=self._noisy(vector, rng), target=np.zeros_like(valid), valid=valid)

    def _noisy(self, vector: Floats, rng: np.random.Generator) -> Floats:
        noise = _unit(rng.standard_normal((1, len(vector))))
        noisy: Floats = _unit(vector + rng.uniform(0, self._noise) * noise)[0]
        return noisy


class Names:
    """The words of every concept of some data sets, and queries by them."""

    def __init__(self, words: dict[str, Floats]) -> None:
        self._words = words

    @staticmethod
    def phrases(datasets: Sequence[Dataset], *, seed: int) -> dict[str, tuple[str, ...]]:
        """Concept -> what people may type for it; also what is not in any picture."""
        rng = random.Random(seed)
        concepts = {c for dataset in datasets for c in dataset.concepts}
        concepts |= {c for dataset in datasets for c in dataset.policy.elsewhere}
        drawn = {
            c: tuple(dict.fromkeys([c, *(phrase(c, rng) for _ in range(PHRASES))]))
            for c in sorted(concepts)
        }
        return drawn | {nonsense: (nonsense,) for nonsense in NONSENSE}

    def queries(
        self, variant: Variant, encoded: Encoded, count: int, rng: np.random.Generator
    ) -> list[Query]:
        """Queries by name on one picture, half of them for what is not there. Nothing is asked
        that the data set leaves open."""
        dataset = variant.dataset
        labels = encoded.labels
        crop = Crop(dataset=dataset, pixels=np.zeros((*labels.shape, 3), np.uint8), labels=labels)
        masks = {concept: crop.mask(concept) for concept in sorted(dataset.concepts)}
        present = [c for c, (here, _) in masks.items() if here.mean() >= SMALLEST_SHARE]
        absent = [
            c for c, (here, known) in masks.items()
            if dataset.policy.dense and c not in dataset.policy.bystanders
            and not here.any() and known.mean() > 0.7
        ]  # fmt: skip
        pools = [pool for pool in (absent, dataset.policy.elsewhere, NONSENSE) if pool]
        queries = []
        for _ in range(count):
            if present and rng.random() >= ABSENT:
                concept = present[int(rng.integers(len(present)))]
                here, known = masks[concept]
            else:
                pool = pools[int(rng.integers(len(pools)))]
                concept = pool[int(rng.integers(len(pool)))]
                here, known = np.zeros(labels.shape, np.bool_), np.ones(labels.shape, np.bool_)
            words = self._words[concept]
            word = words[int(rng.integers(len(words)))]
            queries.append(Query(word=word, target=here, valid=known))
        return queries


class BatchSource:
    """Draws batches; the batch of a step is the same whenever it is drawn."""

    def __init__(
        self, *, store: FeatureStore, variants: Sequence[Variant], looks: Looks, names: Names
    ) -> None:
        self._store = store
        self._looks = looks
        self._names = names
        self._by_set: dict[str, list[Variant]] = {}
        for variant in variants:
            self._by_set.setdefault(variant.dataset.name, []).append(variant)
        self._sets = list(self._by_set)
        weights = np.array([self._by_set[n][0].dataset.policy.weight for n in self._sets])
        self._weights = weights / weights.sum()

    def draw(
        self, rng: np.random.Generator, *, pictures: int, queries: int, by_name: bool
    ) -> ProjectionBatch:
        """One batch; by_name: most pictures are asked by name, else all by looks."""
        drawn = []
        for _ in range(pictures):
            own = self._by_set[self._sets[rng.choice(len(self._sets), p=self._weights)]]
            variant = own[int(rng.integers(len(own)))]
            encoded = self._store.read(variant)
            named = by_name and variant.dataset.concepts and rng.random() >= LOOKS_AMONG_NAMES
            source = self._names if named else self._looks
            drawn.append((encoded, source.queries(variant, encoded, queries, rng)))
        return ProjectionBatch.of(drawn)


def _unit(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-6), np.float32)


def _squared(masks: Sequence[Mask], side: int) -> Tensor:
    """Masks of pictures [h, w] at the top left of squares: float32 [N, side, side]."""
    squares = np.zeros((len(masks), side, side), np.float32)
    for square, mask in zip(squares, masks, strict=True):
        square[: mask.shape[0], : mask.shape[1]] = mask
    return torch.from_numpy(squares)
