"""Crops of training photographs, and which concepts each crop and each of its patches shows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte.training.augment import degraded, jittered, random_crop
from promptmatte.training.datasets import Dataset
from promptmatte.training.samples import PARTS_OF_PERSON, Labelled, read_labelled

Pixels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

ABOUT_ONE_THING = 0.55
"""This share of the crops is about one thing, as most photographs with captions are."""

SHOWN_SHARE = 0.05
"""A thing that covers this part of a crop is one that the crop shows."""

PATCH_SHARE = 0.6
"""A patch is of the label that covers this part of it, else of none."""

SAME_PIXELS = (
    PARTS_OF_PERSON | {"person"},
    frozenset({"person", "cyclist", "bicycle", "motorcycle"}),
    frozenset({"car", "truck", "bus", "wheel", "hood", "bumper", "windscreen", "door",
               "headlight", "mirror", "window"}),
    frozenset({"vegetation", "tree", "grass", "flower", "potted plant"}),
    frozenset({"building", "window", "door", "fence", "pole", "sign"}),
    frozenset({"road", "pavement"}),
    frozenset({"boat", "water"}),
    frozenset({"sky", "mountain"}),
)  # fmt: skip
"""Concepts that may be names of the same pixels: one that a data set does not label is unknown
there, not absent, where another of its group is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Crop:
    """uint8 [S, S, 3]; of the whole crop and of each patch [s * s], the concepts that it shows
    and those that it does not, bool [..., C]; what is in neither is unknown."""

    pixels: Pixels
    shown: Flags
    absent: Flags
    patch_shown: Flags
    patch_absent: Flags


class Crops:
    """Draws crops of the training pictures without end; the same seed draws the same ones."""

    def __init__(
        self,
        pictures: Sequence[Labelled],
        concepts: Sequence[str],
        *,
        side_px: int,
        patch_px: int,
        seed: int,
    ) -> None:
        self._rng = random.Random(seed)
        self._side, self._patch = side_px, patch_px
        self._concepts = list(concepts)
        self._sets: dict[str, list[Labelled]] = {}
        for picture in pictures:
            self._sets.setdefault(picture.dataset.name, []).append(picture)
        self._tables = {
            name: label_table(own[0].dataset, concepts) for name, own in self._sets.items()
        }

    def draw(self) -> Crop:
        """One crop."""
        rng = self._rng
        names = list(self._sets)
        weights = [self._sets[name][0].dataset.policy.weight for name in names]
        name = rng.choices(names, weights)[0]
        picture = rng.choice(self._sets[name])
        shown, absent = self._tables[name]
        size_hw = (self._side, self._side)
        thing = None
        if rng.random() < ABOUT_ONE_THING:
            pixels, labels, thing = self._about_one(picture, shown)
        if thing is None:
            pixels, labels = random_crop(picture.pixels, picture.labels, size_hw, rng)
        pixels = jittered(pixels, rng)
        if rng.random() < 0.3:
            pixels = degraded(pixels, rng)
        faint = np.isin(self._concepts, picture.dataset.policy.bystanders)
        whole = self._whole(labels, shown, absent & ~faint, thing)
        patches = majority(labels, self._patch)
        known = (patches >= 0)[:, None]
        return Crop(
            pixels=np.ascontiguousarray(pixels),
            shown=whole[0],
            absent=whole[1],
            patch_shown=shown[patches] & known,
            patch_absent=absent[patches] & known,
        )

    def _about_one(self, picture: Labelled, shown: Flags) -> tuple[Pixels, Pixels, int | None]:
        """A square about one concept's pixels, and which concept; None where there is none."""
        rng = self._rng
        counts = np.bincount(picture.labels.ravel(), minlength=256)
        areas = counts @ shown
        here = np.flatnonzero(areas >= 0.002 * picture.labels.size)
        if not len(here):
            return picture.pixels, picture.labels, None
        thing = int(rng.choice(list(here)))
        mask = shown[:, thing][picture.labels].astype(np.uint8)
        stats = cv2.connectedComponentsWithStats(mask)[2]
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        x, y, w, h = (int(v) for v in stats[largest, :4])
        side = max(24, round(max(w, h) * rng.uniform(1.0, 1.7)))
        window = tuple(
            _window(start + extent // 2 + round(rng.uniform(-0.1, 0.1) * side), side, size)
            for start, extent, size in zip((y, x), (h, w), picture.labels.shape, strict=True)
        )
        pixels, labels = picture.pixels[window], picture.labels[window]
        if rng.random() < 0.5:
            pixels, labels = pixels[:, ::-1], labels[:, ::-1]
        size_wh = (self._side, self._side)
        return (
            np.asarray(cv2.resize(np.ascontiguousarray(pixels), size_wh,
                                  interpolation=cv2.INTER_LINEAR), np.uint8),
            np.asarray(cv2.resize(np.ascontiguousarray(labels), size_wh,
                                  interpolation=cv2.INTER_NEAREST), np.uint8),
            thing,
        )  # fmt: skip

    def _whole(
        self, labels: Pixels, shown: Flags, absent: Flags, thing: int | None
    ) -> tuple[Flags, Flags]:
        shares = np.bincount(labels.ravel(), minlength=256) / labels.size
        areas = shares @ shown
        if thing is None:
            crop_shown = areas >= SHOWN_SHARE
        else:
            crop_shown = np.arange(len(self._concepts)) == thing
        # Absent from a crop is what is absent from all that is known of it.
        known = shown.any(axis=1) & (shares > 0)
        crop_absent = absent[known].all(axis=0) & (areas == 0) & ~crop_shown
        return crop_shown, crop_absent if known.any() else np.zeros_like(crop_shown)


def label_table(dataset: Dataset, concepts: Sequence[str]) -> tuple[Flags, Flags]:
    """For each label id of a data set, the concepts that its pixels are of and those that they
    are not, bool [256, C] each; a pixel without any name is of nothing known."""
    shown = np.zeros((256, len(concepts)), np.bool_)
    unsure = np.zeros_like(shown)
    for column, concept in enumerate(concepts):
        shown[list(dataset.concepts.get(concept, ())), column] = True
        unsure[list(dataset.unsure.get(concept, ())), column] = True
    labelled = np.array(
        [
            (c in dataset.concepts and dataset.policy.dense) or c in dataset.policy.elsewhere
            for c in concepts
        ]
    )
    overlaps = np.array(
        [[any({a, b} <= group for group in SAME_PIXELS) for b in concepts] for a in concepts]
    )
    may_be_too = (shown.astype(np.float32) @ overlaps) > 0
    absent = ~shown & ~unsure & (labelled | ~may_be_too)
    absent[~shown.any(axis=1)] = False
    absent[list(dataset.ignore)] = shown[list(dataset.ignore)] = False
    return shown, absent


def majority(labels: Pixels, patch_px: int) -> npt.NDArray[np.int64]:
    """The label of each patch [s * s], row by row; -1 where none covers enough of it."""
    side = labels.shape[0] // patch_px
    parts = labels.reshape(side, patch_px, side, patch_px).swapaxes(1, 2).reshape(side * side, -1)
    counts = np.zeros((len(parts), 256), np.int32)
    np.add.at(counts, (np.arange(len(parts))[:, None], parts), 1)
    best = counts.argmax(axis=1)
    enough = counts.max(axis=1) >= PATCH_SHARE * patch_px**2
    return np.where(enough, best, -1)


def training_pictures(datasets: Sequence[Dataset], *, long_side_px: int) -> list[Labelled]:
    """The training split of every data set in memory."""
    return [
        read_labelled(dataset, picture, long_side=long_side_px)
        for dataset in datasets
        for picture in dataset.split()[0]
    ]


def _window(middle: int, side: int, size: int) -> slice:
    side = min(side, size)
    start = min(max(0, middle - side // 2), size - side)
    return slice(start, start + side)
