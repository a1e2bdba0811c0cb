"""Training samples: augmented crops, pasted cut-outs, and concepts that are there or are not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.models.lexicon import COLOURS
from promptmatte.training.augment import (
    Window,
    cut,
    degraded,
    jittered,
    random_window,
    recoloured,
    window_around,
)
from promptmatte.training.datasets import Dataset, Picture
from promptmatte.training.losses import UNKNOWN, UNKNOWN_COLOUR
from promptmatte.training.vocabulary import COLOURED, colour_indices, dominant_colour

Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
MASK_STRIDE = 4
SMALLEST_SHARE = 0.003
"""A thing that covers less of the crop than this is neither asked for nor called absent."""

SMALLEST_KNOWN = 0.1
"""A thing is asked for where at least this share of the crop is known not to be it."""

BYSTANDER_WEIGHT = 0.85
"""How much a pixel counts as not of a thing where the set may leave one unlabelled."""

PASTED: dict[str, tuple[str, ...]] = {
    "ccp": ("person",),
    "human290": ("person",),
    "weizmann_horse": ("horse",),
    "msrc21": ("cow", "sheep", "dog", "cat", "bird", "horse", "airplane", "car"),
    "coco_small": ("person", "dog", "cat", "horse", "elephant", "bear", "zebra", "giraffe", "car",
                   "motorcycle", "bus", "train", "truck", "airplane", "teddy bear"),
}  # fmt: skip
"""Data set -> things that are cut out of it and pasted over other pictures."""

PARTS_OF_PERSON = frozenset({
    "face", "skin", "hair", "eyes", "nose", "mouth", "clothes", "jacket", "coat", "shirt",
    "t-shirt", "sweater", "dress", "skirt", "pants", "jeans", "shorts", "leggings", "shoes",
    "bag", "hat", "glasses", "belt", "scarf", "tie", "handbag", "backpack", "cyclist",
})  # fmt: skip

PARTS_OF_CAR = frozenset({"wheel", "hood", "bumper", "windscreen", "door", "headlight", "mirror",
                          "window", "truck"})  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A crop uint8 RGB [H, W, 3] and Q concepts asked of it.

    concepts: indices int64 [Q]; target: 0..255 uint8 [Q, H/4, W/4]; valid: weight 0..255 of the
    same shape; present bool [Q]; there: of every concept of the vocabulary, 1 where it is in the
    crop, 0 where it is not, UNKNOWN where nobody knows, uint8 [C]; colour: names uint8
    [H/4, W/4], 255 where it is unknown.
    """

    pixels: Pixels
    concepts: npt.NDArray[np.int64]
    target: Pixels
    valid: Pixels
    present: Mask
    there: Pixels
    colour: Pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """A picture in memory: RGB uint8 [H, W, 3] and label ids uint8 [H, W]."""

    dataset: Dataset
    pixels: Pixels
    labels: Pixels


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


def told(dataset: Dataset, labels: Pixels, concept: str) -> tuple[Mask, Mask]:
    """Where the concept is by a data set's labels, and where that is known."""
    own = dataset.concepts.get(concept)
    unsure = dataset.unsure.get(concept, ())
    if own is None and not unsure:
        known = concept in dataset.policy.elsewhere
        return np.zeros(labels.shape, np.bool_), np.full(labels.shape, known)
    here = _looked_up(labels, own or ())
    doubtful = {*unsure, *dataset.ignore} - {*(own or ())}
    return here, ~_looked_up(labels, tuple(doubtful))


def _looked_up(labels: Pixels, ids: tuple[int, ...]) -> Mask:
    table = np.zeros(256, np.uint8)
    table[list(ids)] = 1
    return np.asarray(cv2.LUT(labels, table)).view(np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pasted:
    """A thing laid over a crop: its region bool [H, W], and labels as its own data set has them."""

    dataset: Dataset
    thing: str
    region: Mask
    labels: Pixels

    def mask(self, concept: str) -> tuple[Mask, Mask]:
        """Where the concept is within the region, and where that is known. What a thing of its
        kind may wear or consist of, and its set does not label, is unknown; the rest is absent."""
        parts = {"person": PARTS_OF_PERSON, "car": PARTS_OF_CAR}.get(self.thing, frozenset())
        if concept in self.dataset.concepts or concept in self.dataset.unsure:
            return told(self.dataset, self.labels, concept)
        return np.zeros_like(self.region), np.full_like(self.region, concept not in parts)


@dataclass(kw_only=True, eq=False)
class Crop:
    """A crop in the making: pixels, labels, and what was pasted over it."""

    dataset: Dataset
    pixels: Pixels
    labels: Pixels
    pasted: list[Pasted] = field(default_factory=list)

    def concepts(self) -> set[str]:
        """Everything whose mask can be told here."""
        named = {c for layer in self.pasted for c in layer.dataset.concepts}
        return set(self.dataset.concepts) | named | set(self.dataset.policy.elsewhere)

    def mask(self, concept: str) -> tuple[Mask, Mask]:
        """Where the concept is, and where that is known."""
        here, known = told(self.dataset, self.labels, concept)
        for layer in self.pasted:
            own_here, own_known = layer.mask(concept)
            np.copyto(here, own_here, where=layer.region)
            np.copyto(known, own_known, where=layer.region)
        return here, known


class Sampler:
    """Draws samples without end; the same seed draws the same ones.

    Half of the pictures are drawn by data set, half by a concept, each with the root of how often
    it occurs, and then often with that concept in the middle of things, so that small and rare
    things are seen too.
    """

    def __init__(
        self, pictures: Sequence[Labelled], *, concepts: Sequence[str], seed: int, queries: int = 12
    ) -> None:
        self._rng = random.Random(seed)
        self._queries = queries
        self._index = {concept: i for i, concept in enumerate(concepts)}
        self._by_set: dict[str, list[Labelled]] = {}
        for picture in pictures:
            self._by_set.setdefault(picture.dataset.name, []).append(picture)
        self._sets = list(self._by_set)
        self._weights = [self._by_set[n][0].dataset.policy.weight for n in self._sets]
        self._by_concept: dict[str, list[Labelled]] = {}
        for picture in pictures:
            counts = np.bincount(picture.labels.ravel(), minlength=256) / picture.labels.size
            for concept, labels in picture.dataset.concepts.items():
                if counts[list(labels)].sum() >= SMALLEST_SHARE / 2:
                    self._by_concept.setdefault(concept, []).append(picture)
        self._named = list(self._by_concept)
        self._named_weights = [len(self._by_concept[c]) ** 0.5 for c in self._named]
        self._donors = [
            (name, thing) for name in self._sets for thing in PASTED.get(name, ())
            if thing in self._by_set[name][0].dataset.concepts
        ]  # fmt: skip
        self._donors += [d for d in self._donors if d[1] == "person"] * 6

    def draw(self, size_hw: tuple[int, int]) -> Sample:
        """One sample at a size."""
        while True:
            sample = self._sample(size_hw)
            if sample is not None:
                return sample

    def _sample(self, size_hw: tuple[int, int]) -> Sample | None:
        rng = self._rng
        picture, window = self._picture(size_hw)
        mirror = rng.random() < 0.5
        crop = Crop(
            dataset=picture.dataset,
            pixels=cut(picture.pixels, window, size_hw, mirror=mirror),
            labels=cut(picture.labels, window, size_hw, mirror=mirror, nearest=True),
        )
        if self._donors and rng.random() < 0.45:
            for _ in range(rng.choice((1, 1, 2, 3))):
                self._paste(crop)
        masks = {c: crop.mask(c) for c in sorted(crop.concepts()) if c in self._index}
        colour = self._colours(crop, masks)
        pixels = degraded(jittered(crop.pixels, rng), rng)
        return self._asked(crop, pixels, masks, colour)

    def _picture(self, size_hw: tuple[int, int]) -> tuple[Labelled, Window]:
        rng = self._rng
        aspect = size_hw[1] / size_hw[0] * rng.uniform(0.8, 1.25)
        if not self._named or rng.random() < 0.5:
            name = rng.choices(self._sets, self._weights)[0]
            picture = rng.choice(self._by_set[name])
            return picture, random_window(picture.labels.shape, aspect, rng)
        concept = rng.choices(self._named, self._named_weights)[0]
        picture = rng.choice(self._by_concept[concept])
        if rng.random() < 0.4:
            return picture, random_window(picture.labels.shape, aspect, rng)
        here = told(picture.dataset, picture.labels, concept)[0]
        return picture, window_around(here, aspect, rng)

    def _paste(self, crop: Crop) -> None:
        """Pastes a thing over the crop: any place, size and side, partly out of frame too."""
        rng = self._rng
        name, thing = rng.choice(self._donors)
        pool = [p for p in self._by_concept.get(thing, ()) if p.dataset.name == name]
        if not pool:
            return
        donor = rng.choice(pool)
        subject = told(donor.dataset, donor.labels, thing)[0]
        rows, columns = np.flatnonzero(subject.any(1)), np.flatnonzero(subject.any(0))
        if len(rows) < 24 or len(columns) < 24:
            return
        height, width = crop.labels.shape
        own_height = int(rows[-1] - rows[0])
        scale = min(
            rng.uniform(0.12, 1.3) / own_height * height, 1.3 * width / (columns[-1] - columns[0])
        )
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        centre = (float(columns.mean()), float(rows.mean()))
        target = (rng.uniform(0.05, 0.95) * width, rng.uniform(0.3, 0.8) * height)
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
        if rng.random() < 0.5:
            blurred = jittered(blurred, rng)
        pixels = cv2.warpAffine(blurred, matrix, (width, height))
        alpha = cv2.warpAffine(subject.astype(np.float32), matrix, (width, height))
        alpha = cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3))), (0, 0), rng.uniform(0.5, 1.2))
        mixed = crop.pixels + alpha[..., None] * (pixels.astype(np.float32) - crop.pixels)
        crop.pixels = np.clip(mixed, 0, 255).astype(np.uint8)
        labels = cv2.warpAffine(donor.labels, matrix, (width, height), flags=cv2.INTER_NEAREST)
        crop.pasted.append(
            Pasted(
                dataset=donor.dataset, thing=thing, region=alpha > 0.5,
                labels=np.asarray(labels, np.uint8),
            )
        )  # fmt: skip

    def _colours(self, crop: Crop, masks: dict[str, tuple[Mask, Mask]]) -> Pixels:
        """Names of colours [H/4, W/4] of single-coloured things, some of which are painted anew."""
        rng = self._rng
        things = [c for c, (here, _) in masks.items() if c in COLOURED and here.any()]
        rng.shuffle(things)
        pieces: list[Mask] = []
        for concept in things[:3]:
            count, parts, stats, _ = cv2.connectedComponentsWithStats(
                masks[concept][0].astype(np.uint8)
            )
            for i in range(1, count):
                if stats[i, cv2.CC_STAT_AREA] >= SMALLEST_SHARE * parts.size:
                    pieces.append(parts == i)
                    if rng.random() < 0.25:
                        crop.pixels = recoloured(crop.pixels, pieces[-1], rng)
        height, width = crop.labels.shape
        named = np.full((height, width), UNKNOWN_COLOUR, np.uint8)
        if pieces:
            names = colour_indices(crop.pixels)
            for piece in pieces:
                colour = dominant_colour(names, piece)
                named[piece] = UNKNOWN_COLOUR if colour is None else COLOURS.index(colour)
        return np.ascontiguousarray(named[MASK_STRIDE // 2 :: MASK_STRIDE,
                                          MASK_STRIDE // 2 :: MASK_STRIDE])  # fmt: skip

    def _asked(
        self, crop: Crop, pixels: Pixels, masks: dict[str, tuple[Mask, Mask]], colour: Pixels
    ) -> Sample | None:
        """The sample with its concepts: what is there, filled up with what is not; None where
        nothing can be asked."""
        rng = self._rng
        present, absent = [], []
        there = np.full(len(self._index), UNKNOWN, np.uint8)
        for concept, (here, known) in masks.items():
            share = float(here.mean())
            if share >= SMALLEST_SHARE:
                there[self._index[concept]] = 1
                # Where next to nothing is known not to be it, all that can be learnt is "yes".
                if (known & ~here).mean() >= SMALLEST_KNOWN:
                    present.append(concept)
            elif share == 0 and self._absent(crop, concept, known):
                there[self._index[concept]] = 0
                absent.append(concept)
        rng.shuffle(present)
        # What its own set might have had is more easily mistaken than what never occurs in it.
        absent.sort(key=lambda c: rng.random() + (c in crop.dataset.policy.elsewhere) / 2)
        if "person" in present:
            present.remove("person")
            present.insert(0, "person")
        if not present and not absent:
            return None
        kept = present[: max(self._queries * 2 // 3, self._queries - len(absent))]
        asked = (kept + absent)[: self._queries]
        while len(asked) < self._queries:
            asked.append(rng.choice(asked))
        shape = (crop.labels.shape[0] // MASK_STRIDE, crop.labels.shape[1] // MASK_STRIDE)
        target = np.zeros((len(asked), *shape), np.uint8)
        valid = np.full((len(asked), *shape), 255, np.uint8)
        for row, concept in enumerate(asked):
            here, known = masks[concept]
            if concept in kept:
                target[row] = _small(here)
            if not known.all():
                valid[row] = np.where(_small(known) > 252, 255, 0)
            if concept in crop.dataset.policy.bystanders:
                faint = _small(_background(crop, here)) > 252
                valid[row][faint] = (valid[row][faint] * BYSTANDER_WEIGHT).astype(np.uint8)
        return Sample(
            pixels=pixels,
            concepts=np.array([self._index[c] for c in asked]),
            target=target,
            valid=valid,
            present=np.array([c in kept for c in asked]),
            there=there,
            colour=colour,
        )

    @staticmethod
    def _absent(crop: Crop, concept: str, known: Mask) -> bool:
        policy = crop.dataset.policy
        if concept in policy.elsewhere:
            return True
        if concept in policy.bystanders or concept not in crop.dataset.concepts:
            return False
        return policy.dense and bool(known.mean() > 0.7)


def _background(crop: Crop, here: Mask) -> Mask:
    """Where the crop's own set may leave something unlabelled."""
    faint = ~here
    for layer in crop.pasted:
        faint &= ~layer.region
    return faint


def _small(mask: Mask) -> Pixels:
    """The share of each cell of the mask grid, 0..255."""
    size_wh = (mask.shape[1] // MASK_STRIDE, mask.shape[0] // MASK_STRIDE)
    whole = mask.view(np.uint8) * np.uint8(255)
    return np.asarray(cv2.resize(whole, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
