"""Training samples: augmented crops, pasted cut-outs, and prompts that are there or are not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.training.augment import degraded, jittered, random_crop
from promptmatte.training.datasets import Dataset, Picture
from promptmatte.training.vocabulary import (
    COLOURED,
    COLOURS,
    NONSENSE,
    colour_indices,
    dominant_colour,
    phrase,
)

Mask = npt.NDArray[np.bool_]
MASK_STRIDE = 4
SMALLEST_SHARE = 0.003
"""A thing that covers less of the crop than this is neither asked for nor called absent."""

PASTED = {"ccp": "person", "human290": "person", "weizmann_horse": "horse"}
"""Data sets whose main subject is cut out and pasted over other pictures."""

PARTS_OF_PERSON = frozenset({
    "face", "skin", "hair", "eyes", "nose", "mouth", "clothes", "jacket", "coat", "shirt",
    "t-shirt", "sweater", "dress", "skirt", "pants", "jeans", "shorts", "leggings", "shoes",
    "bag", "hat", "glasses", "belt", "scarf", "tie", "handbag", "backpack", "cyclist",
})  # fmt: skip

SIMILAR_COLOURS = (
    {"black", "grey"}, {"grey", "white"}, {"red", "orange"}, {"red", "pink"}, {"red", "brown"},
    {"orange", "brown"}, {"orange", "yellow"}, {"brown", "black"}, {"brown", "grey"},
    {"blue", "purple"}, {"purple", "pink"}, {"blue", "grey"}, {"yellow", "green"},
    {"brown", "yellow"}, {"blue", "black"}, {"pink", "white"}, {"green", "black"},
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """One prompt on one crop: target and validity float32 [H/4, W/4]; present: area in it."""

    text: str
    target: npt.NDArray[np.float32]
    valid: npt.NDArray[np.float32]
    present: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A crop uint8 RGB [H, W, 3] with its queries."""

    pixels: npt.NDArray[np.uint8]
    queries: list[Query]


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """A picture in memory: RGB uint8 [H, W, 3] and label ids uint8 [H, W]."""

    dataset: Dataset
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


def read_labelled(dataset: Dataset, picture: Picture, *, long_side: int) -> Labelled:
    """The picture and its labels, shrunk so that the longer side is at most long_side."""
    bgr = cv2.imread(str(picture.image), cv2.IMREAD_COLOR)
    labels = cv2.imread(str(picture.mask), cv2.IMREAD_UNCHANGED)
    if bgr is None or labels is None:
        raise OSError(f"cannot read {picture.image} or {picture.mask}")
    scale = min(1.0, long_side / max(bgr.shape[:2]))
    size = (round(bgr.shape[1] * scale), round(bgr.shape[0] * scale))
    bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels[..., 0] if labels.ndim == 3 else labels, size,
                        interpolation=cv2.INTER_NEAREST)  # fmt: skip
    return Labelled(
        dataset=dataset, pixels=np.ascontiguousarray(bgr[..., ::-1]), labels=labels.astype(np.uint8)
    )


@dataclass(kw_only=True, eq=False)
class Crop:
    """A crop in the making: pixels, labels, and what was pasted over it."""

    dataset: Dataset
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    pasted_concept: str = ""
    pasted: Mask | None = None

    def concepts(self) -> set[str]:
        """Everything whose mask can be told here."""
        return set(self.dataset.concepts) | ({self.pasted_concept} - {""})

    def mask(self, concept: str) -> tuple[Mask, Mask]:
        """Where the concept is, and where that is known."""
        dataset = self.dataset
        here = np.isin(self.labels, dataset.concepts.get(concept, ()))
        unsure = np.isin(self.labels, dataset.unsure.get(concept, ()) + dataset.ignore)
        known = ~(unsure & ~here)
        if self.pasted is not None:
            here &= ~self.pasted
            known |= self.pasted
            if concept == self.pasted_concept:
                here |= self.pasted
            elif self.pasted_concept == "person" and concept in PARTS_OF_PERSON:
                known &= ~self.pasted
        return here, known


class Sampler:
    """Draws samples without end; the same seed draws the same ones."""

    def __init__(self, pictures: Sequence[Labelled], *, seed: int, queries: int = 3) -> None:
        self._rng = random.Random(seed)
        self._queries = queries
        self._by_set: dict[str, list[Labelled]] = {}
        for picture in pictures:
            self._by_set.setdefault(picture.dataset.name, []).append(picture)
        self._sets = list(self._by_set)
        self._weights = [self._by_set[n][0].dataset.policy.weight for n in self._sets]
        self._donors = [name for name in self._sets if name in PASTED]

    def draw(self, size_hw: tuple[int, int]) -> Sample:
        """One sample at a size."""
        rng = self._rng
        name = rng.choices(self._sets, self._weights)[0]
        picture = rng.choice(self._by_set[name])
        pixels, labels = random_crop(picture.pixels, picture.labels, size_hw, rng)
        crop = Crop(dataset=picture.dataset, pixels=jittered(pixels, rng), labels=labels)
        if self._donors and rng.random() < 0.3:
            self._paste(crop)
        queries = self._draw_queries(crop)
        return Sample(pixels=degraded(crop.pixels, rng), queries=queries)

    def _paste(self, crop: Crop) -> None:
        """Pastes a subject over the crop: any place, size and side, partly out of frame too."""
        rng = self._rng
        name = rng.choice(self._donors)
        donor = rng.choice(self._by_set[name])
        concept = PASTED[name]
        subject = np.isin(donor.labels, donor.dataset.concepts[concept])
        rows, columns = np.flatnonzero(subject.any(1)), np.flatnonzero(subject.any(0))
        if len(rows) < 16 or len(columns) < 16:
            return
        height, width = crop.labels.shape
        own_height = int(rows[-1] - rows[0])
        scale = height * rng.uniform(0.25, 1.4) / own_height
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        centre = (float(columns.mean()), float(rows.mean()))
        target = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.3, 0.8) * height)
        matrix = np.array(
            [
                [mirror * scale, 0.0, target[0] - mirror * scale * centre[0]],
                [0.0, scale, target[1] - scale * centre[1]],
            ]
        )
        if scale < 0.7:
            blurred = cv2.GaussianBlur(donor.pixels, (0, 0), 0.4 / scale)
        else:
            blurred = donor.pixels
        pixels = cv2.warpAffine(jittered(blurred, rng), matrix, (width, height))
        alpha = cv2.warpAffine(subject.astype(np.float32), matrix, (width, height))
        alpha = cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3))), (0, 0), rng.uniform(0.5, 1.2))
        mixed = crop.pixels + alpha[..., None] * (pixels.astype(np.float32) - crop.pixels)
        crop.pixels = np.clip(mixed, 0, 255).astype(np.uint8)
        crop.pasted, crop.pasted_concept = alpha > 0.5, concept

    def _draw_queries(self, crop: Crop) -> list[Query]:
        rng = self._rng
        present, absent = [], []
        masks = {}
        for concept in sorted(crop.concepts()):
            here, known = crop.mask(concept)
            share = float(here.mean())
            if share >= SMALLEST_SHARE:
                present.append(concept)
                masks[concept] = (here, known)
            elif share == 0 and crop.dataset.policy.dense and known.mean() > 0.7:
                absent.append(concept)
        elsewhere = [c for c in crop.dataset.policy.elsewhere if c != crop.pasted_concept]
        weights = [2.0 if c == "person" else 1.0 for c in present]
        names = colour_indices(crop.pixels)
        queries: list[Query] = []
        while len(queries) < self._queries:
            if present and rng.random() < 0.55:
                concept = rng.choices(present, weights)[0]
                here, known = masks[concept]
                query = None
                if concept in COLOURED and rng.random() < 0.35:
                    query = _coloured(concept, here, known, names, rng)
                queries.append(query or _query(phrase(concept, rng), here, known))
            else:
                text = _absent_text(absent, elsewhere, rng)
                nothing = np.zeros(crop.labels.shape, np.bool_)
                queries.append(_query(text, nothing, ~nothing))
        return queries


def _absent_text(absent: list[str], elsewhere: list[str], rng: random.Random) -> str:
    pool = rng.choices((absent, elsewhere, list(NONSENSE)), (0.6, 0.25, 0.15))[0]
    concept = rng.choice(pool or list(NONSENSE))
    colour = rng.choice(COLOURS) if concept in COLOURED and rng.random() < 0.2 else None
    return phrase(concept, rng, colour=colour)


def _query(text: str, here: Mask, known: Mask) -> Query:
    size = (here.shape[1] // MASK_STRIDE, here.shape[0] // MASK_STRIDE)
    target = cv2.resize(here.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    valid = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99
    return Query(text=text, target=target, valid=valid.astype(np.float32), present=bool(here.any()))


def _coloured(
    concept: str, here: Mask, known: Mask, names: npt.NDArray[np.uint8], rng: random.Random
) -> Query | None:
    """A query by colour ("red car"): the parts of that colour, or none of it; None if unclear."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(here.astype(np.uint8))
    colours: dict[int, str | None] = {
        i: dominant_colour(names, parts == i)
        for i in range(1, count)
        if stats[i, cv2.CC_STAT_AREA] >= SMALLEST_SHARE * here.size
    }
    seen = sorted({c for c in colours.values() if c})
    if not seen:
        return None
    if rng.random() < 0.3 and None not in colours.values():
        others = [c for c in COLOURS if c not in seen and not _similar(c, seen)]
        if others:
            text = phrase(concept, rng, colour=rng.choice(others))
            return _query(text, np.zeros_like(here), known)
    colour = rng.choice(seen)
    wanted = np.isin(parts, [i for i, c in colours.items() if c == colour])
    other = np.isin(parts, [i for i, c in colours.items() if c and not _similar(c, [colour])])
    other &= ~wanted
    return _query(phrase(concept, rng, colour=colour), wanted, known & (~here | wanted | other))


def _similar(colour: str, others: Sequence[str]) -> bool:
    return any(colour == other or {colour, other} in SIMILAR_COLOURS for other in others)
