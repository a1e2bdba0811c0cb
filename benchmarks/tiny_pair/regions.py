"""Things of no name in the photographs, and the points, boxes and rough masks that ask for them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte.training.augment import degraded, jittered, random_crop
from promptmatte.training.samples import Labelled

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

SHAPES = ((3, 4), (4, 3), (2, 3), (3, 2), (9, 16), (1, 1))
"""Rows to columns of the pictures inside SAM's square."""

SMALLEST_SHARE = 0.004
MASK_STRIDE_PX = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One thing and ways to ask for it: mask float32 [s, s] over the padded square, xy [3, 2]
    and kind [3] (1: on it, 0: off it) of points, box [4] (left, top, right, bottom), all in
    input pixels, and rough logits [s, s] as a mask prompt."""

    mask: Floats
    xy: Floats
    kind: npt.NDArray[np.int64]
    box: Floats
    rough: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A padded square uint8 [S, S, 3], the size of the picture in it, and requests."""

    pixels: npt.NDArray[np.uint8]
    inside_hw: tuple[int, int]
    requests: list[Request]


class Requests:
    """Draws pictures with requests without end; the same seed draws the same ones."""

    def __init__(self, pictures: Sequence[Labelled], *, side_px: int, each: int, seed: int) -> None:
        self._rng = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._side, self._each = side_px, each
        self._sets: dict[str, list[Labelled]] = {}
        for picture in pictures:
            self._sets.setdefault(picture.dataset.name, []).append(picture)

    def draw(self) -> Asked:
        """One picture with its requests."""
        rng = self._rng
        while True:
            names = list(self._sets)
            weights = [self._sets[name][0].dataset.policy.weight for name in names]
            picture = rng.choice(self._sets[rng.choices(names, weights)[0]])
            rows, columns = rng.choice(SHAPES)
            scale = self._side / max(rows, columns)
            size_hw = round(rows * scale), round(columns * scale)
            pixels, labels = random_crop(picture.pixels, picture.labels, size_hw, rng)
            things = self._things(labels, picture)
            if things:
                break
        square = np.zeros((self._side, self._side, 3), np.uint8)
        square[: size_hw[0], : size_hw[1]] = degraded(jittered(pixels, rng), rng)
        # There are many more small things than large ones.
        chosen = rng.choices(things, [float(thing.sum()) ** 0.5 for thing in things], k=self._each)
        return Asked(
            pixels=square, inside_hw=size_hw, requests=[self._request(thing) for thing in chosen]
        )

    def _things(self, labels: npt.NDArray[np.uint8], picture: Labelled) -> list[Mask]:
        """Connected regions of one label, and of all labels that make one concept."""
        dataset = picture.dataset
        groups = {tuple(ids) for ids in dataset.concepts.values()}
        groups |= {(i,) for ids in groups for i in ids}
        things = []
        for ids in sorted(groups):
            here = np.isin(labels, ids).astype(np.uint8)
            count, parts, stats, _ = cv2.connectedComponentsWithStats(here)
            areas = stats[:, cv2.CC_STAT_AREA]
            things += [
                parts == i for i in range(1, count) if areas[i] >= SMALLEST_SHARE * here.size
            ]
        return things

    def _request(self, thing: Mask) -> Request:
        rng = self._rng
        side = self._side
        padded = np.zeros((side, side), np.float32)
        padded[: thing.shape[0], : thing.shape[1]] = thing
        small = (side // MASK_STRIDE_PX, side // MASK_STRIDE_PX)
        mask = cv2.resize(padded, small, interpolation=cv2.INTER_AREA)
        xy = [inner_point(thing, rng)]
        kind = [1]
        while len(xy) < 3:
            off = _near(thing) if rng.random() < 0.3 else np.zeros_like(thing)
            xy.append(_random_point(off if off.any() else thing, rng))
            kind.append(int(not off.any()))
        return Request(
            mask=np.asarray(mask, np.float32),
            xy=np.array(xy, np.float32),
            kind=np.array(kind, np.int64),
            box=jittered_box(thing, rng),
            rough=self._rough(mask, thing.shape),
        )

    def _rough(self, mask: Floats, inside: tuple[int, ...]) -> Floats:
        """The mask as a coarse map has it: blurred, too large or small, with holes and spots."""
        rng = self._rng
        side = len(mask)
        coarse = max(6, side // rng.choice((3, 4, 6, 8)))
        spots = self._noise.normal(0, rng.uniform(0.0, 0.35), (coarse // 2, coarse // 2))
        small = cv2.resize(mask, (coarse, coarse), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.4, 1.6))
        small += cv2.resize(spots.astype(np.float32), (coarse, coarse))
        share = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
        logits = rng.uniform(4, 24) * (share - rng.uniform(0.25, 0.6))
        out = np.full((side, side), logits.min(), np.float32)
        rows, columns = (round(extent / MASK_STRIDE_PX) for extent in inside)
        out[:rows, :columns] = logits[:rows, :columns]
        return out


def inner_point(thing: Mask, rng: random.Random) -> tuple[float, float]:
    """x, y well inside a thing half of the time, else anywhere on it."""
    if rng.random() < 0.5:
        return _random_point(thing, rng)
    depth = _depth(thing)
    return _random_point(depth >= 0.6 * depth.max(), rng)


def inner_middle(thing: Mask) -> tuple[float, float]:
    """x, y of the place of a thing that is the furthest from its edge."""
    y, x = divmod(int(_depth(thing).argmax()), thing.shape[1])
    return float(x), float(y)


def jittered_box(thing: Mask, rng: random.Random) -> Floats:
    """Left, top, right, bottom, each off by a tenth of the side, at most 20 pixels, as in SAM's
    training (Kirillov et al. 2023, appendix A)."""
    rows, columns = np.flatnonzero(thing.any(1)), np.flatnonzero(thing.any(0))
    sides = (columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    box = [
        edge + max(-20.0, min(20.0, rng.gauss(0, 0.1 * sides[i % 2])))
        for i, edge in enumerate(edges)
    ]
    height, width = thing.shape
    return np.clip(np.array(box, np.float32), 0, (width, height, width, height)).astype(np.float32)


def _depth(thing: Mask) -> Floats:
    """How far each place is from the edge of a thing; the picture's edge counts as one."""
    framed = np.pad(thing.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)


def _near(thing: Mask) -> Mask:
    """What is off the thing, but within its box."""
    rows, columns = np.flatnonzero(thing.any(1)), np.flatnonzero(thing.any(0))
    near = np.zeros_like(thing)
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    near[window] = ~thing[window]
    return near


def _random_point(where: Mask, rng: random.Random) -> tuple[float, float]:
    places = np.flatnonzero(where)
    y, x = divmod(int(places[rng.randrange(len(places))]), where.shape[1])
    return float(x), float(y)
