"""The blobs of a map: connected places where a term stands out, each as SAM is told of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.models.prompters.calibration import BLOB_SHARE, LEAST_PEAK

MOST_BLOBS = 6
"""Blobs of one term at most, the largest by what they hold."""

LEAST_SHARE = 0.05
"""A blob that holds less than this share of what the largest holds is noise."""

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Blob:
    """One blob of the map of a term.

    term: the map's index. label: its number in the term's labels. point: x, y of its middle;
    box: left, top, right, bottom; both in pixels of the map, 0 at the left and top edge.
    mass: sum of probabilities. core_odds, core_margin: means over its best places.
    """

    term: int
    label: int
    point: tuple[float, float]
    box: tuple[float, float, float, float]
    mass: float
    core_odds: float
    core_margin: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Blobs:
    """All blobs of one map: labels int32 [h, w] (0: none), the level of log-odds that bounds
    them, the blobs by falling mass; core_odds, core_margin: of the best places of the map,
    should it have no blob."""

    labels: npt.NDArray[np.int32]
    level: float
    blobs: list[Blob]
    core_odds: float
    core_margin: float


def blobs_of(odds: Map, margin: Map, *, term: int, core_pixels: int) -> Blobs:
    """The blobs of a map of log-odds [h, w]; margin [h, w], its lead over the best competitor;
    core_pixels: how many of its best pixels are a blob's core."""
    probability = 1.0 / (1.0 + np.exp(-odds))
    peak = float(probability.max())
    core = _core(odds.ravel(), margin.ravel(), core_pixels)
    if peak < LEAST_PEAK:
        none = np.zeros(odds.shape, np.int32)
        return Blobs(labels=none, level=0.0, blobs=[], core_odds=core[0], core_margin=core[1])
    inside = (probability > BLOB_SHARE * peak).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    mass = np.bincount(labels.ravel(), weights=probability.ravel(), minlength=count)
    mass[0] = 0.0
    kept = [int(n) for n in np.argsort(-mass, kind="stable")[:MOST_BLOBS]]
    kept = [n for n in kept if n > 0 and mass[n] >= LEAST_SHARE * mass.max()]
    level = BLOB_SHARE * peak
    return Blobs(
        labels=labels,
        level=float(np.log(level / (1.0 - level))),
        core_odds=core[0],
        core_margin=core[1],
        blobs=[
            _blob(odds, margin, labels, stats[n], term=term, label=n, mass=float(mass[n]),
                  core_pixels=core_pixels)
            for n in kept
        ],
    )  # fmt: skip


def _blob(
    odds: Map,
    margin: Map,
    labels: npt.NDArray[np.int32],
    stats: npt.NDArray[np.int32],
    *,
    term: int,
    label: int,
    mass: float,
    core_pixels: int,
) -> Blob:
    left, top, width, height = (int(v) for v in stats[:4])
    part = np.s_[top : top + height, left : left + width]
    own = labels[part] == label
    core_odds, core_margin = _core(odds[part][own], margin[part][own], core_pixels)
    x, y = _middle(own, odds[part])
    return Blob(
        term=term,
        label=label,
        point=(left + x + 0.5, top + y + 0.5),
        box=(left, top, left + width, top + height),
        mass=mass,
        core_odds=core_odds,
        core_margin=core_margin,
    )


def _core(odds: Map, margin: Map, pixels: int) -> tuple[float, float]:
    """Mean odds and margin, both [N], of the best pixels by odds."""
    best = np.argpartition(-odds, min(pixels, len(odds)) - 1)[:pixels]
    return float(odds[best].mean()), float(margin[best].mean())


def _middle(own: npt.NDArray[np.bool_], odds: Map) -> tuple[int, int]:
    """Column and row well within the blob where the map is high: the peak of probability times
    the distance from the edge. The probability's own peak is often at a border, or anywhere
    on a plateau."""
    framed = np.pad(own.astype(np.uint8), 1)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = divmod(int(np.argmax(distance / (1.0 + np.exp(-odds)))), own.shape[1])
    return column, row
