"""Things to move about, cut out of labelled photographs, and photographs to put behind them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import DataError
from promptmatte.sources.test_pictures import CUT_OUTS, load_layer, scikit_photograph
from promptmatte.training.datasets import picture_pairs
from promptmatte.training.moving_clips import CutOut, Pixels, cut_out

LONG_SIDE_PX = 300
"""Cut-outs are shrunk to this: they are shown about as large."""

THINGS: dict[str, tuple[int, ...]] = {
    "human290": (255,),
    "weizmann_horse": (255,),
    "weizmann_1obj": (255,),
    "msrc21": (4, 5, 6, 9, 12, 13, 16, 20, 21, 23),
    "ccp": tuple(range(1, 256)),
    "coco_small": (1, 2, 3, 4, 6, 8, 16, 17, 18, 19, 20, 21, 22, 23, 24),
}
"""Data set -> labels of things that can walk about; those of ccp together are one person."""

GROUNDS = ("camvid11", "labelmefacade", "coco_small", "msrc21", "weizmann_1obj", "ccp", "human290")

GROUND_NAMES = ("rocket.jpg", "coffee.png", "chelsea.png", "astronaut.png")
"""Photographs of scikit-image to put behind the shipped cut-outs."""

SMALLEST_SHARE = 0.04
"""Share of the photograph that a thing must cover."""

GARMENT_CHANCE = 0.4
"""How often a garment is asked for and not the person who wears it."""

HALF_CHANCE = 0.1
"""How often only what lies on one side of a line is asked for."""


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """A split of the data: (image, mask) pairs by data set, and background images."""

    things: dict[str, list[tuple[Path, Path]]]
    grounds: list[Path]

    @classmethod
    def of(cls, root: Path, *, held_out: bool) -> Photographs:
        """All but every seventh photograph below a folder of data sets, or those; DataError."""

        def split(paths: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
            return [pair for n, pair in enumerate(paths) if (n % 7 == 3) == held_out]

        present = [name for name in THINGS if (root / name / "images").is_dir()]
        if not present:
            raise DataError(f"expected folders such as {', '.join(THINGS)} in {root}; found none")
        pairs = {name: split(picture_pairs(root / name)) for name in present}
        grounds = [
            image
            for name in GROUNDS
            if (root / name / "images").is_dir()
            for image, _ in split(picture_pairs(root / name))
        ]
        images = [image for found in pairs.values() for image, _ in found]
        return cls(things=pairs, grounds=grounds or images)

    def draw_thing(self, rng: np.random.Generator) -> CutOut:
        """A thing, or a part of one, of any data set with equal chances."""
        while True:
            name = sorted(self.things)[rng.integers(len(self.things))]
            image, mask = self.things[name][rng.integers(len(self.things[name]))]
            cut = _thing(rng, name, _photograph(image), _labels(mask))
            if cut is not None:
                return cut

    def draw_ground(self, rng: np.random.Generator) -> Pixels:
        """A photograph to put behind."""
        return _photograph(self.grounds[rng.integers(len(self.grounds))])


def shipped_things() -> tuple[list[CutOut], list[Pixels]]:
    """The cut-outs of the test pictures, and grounds: scikit-image; SourceError without it."""
    layers = [load_layer(name) for name in CUT_OUTS.values()]
    things = [cut_out(layer.colours, layer.alpha > 0.5) for layer in layers]
    return things, [scikit_photograph(name) for name in GROUND_NAMES]


def _photograph(path: Path) -> Pixels:
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise DataError(f"expected {path} to be a photograph; it cannot be decoded")
    return np.asarray(pixels, np.uint8)


def _labels(path: Path) -> npt.NDArray[np.uint8]:
    mask = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise DataError(f"expected {path} to be a mask; it cannot be decoded")
    return np.asarray(mask[..., 0] if mask.ndim == 3 else mask, np.uint8)


def _thing(
    rng: np.random.Generator, name: str, pixels: Pixels, labels: npt.NDArray[np.uint8]
) -> CutOut | None:
    """The largest thing of the photograph; None when none is large enough."""
    labels = _resized(labels, pixels.shape)
    wanted = np.isin(labels, THINGS[name])
    if name not in ("ccp", "human290"):
        shares = {label: (labels == label).mean() for label in THINGS[name]}
        wanted = labels == max(shares, key=lambda label: shares[label])
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(wanted.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < SMALLEST_SHARE * wanted.size:
        return None
    size = max(stats[largest, cv2.CC_STAT_WIDTH], stats[largest, cv2.CC_STAT_HEIGHT])
    scale = min(1.0, LONG_SIDE_PX / size)
    pixels = np.asarray(
        cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )
    labels = _resized(labels, pixels.shape)
    mask = _resized((pieces == largest).astype(np.uint8), pixels.shape) > 0
    return cut_out(pixels, mask, _part(rng, name, mask, labels))


def _part(
    rng: np.random.Generator,
    name: str,
    mask: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.uint8],
) -> npt.NDArray[np.bool_] | None:
    if rng.random() >= (GARMENT_CHANCE if name == "ccp" else HALF_CHANCE):
        return None
    if name == "ccp":
        names, counts = np.unique(labels[mask], return_counts=True)
        large = names[counts > 0.08 * mask.sum()]
        return labels == large[rng.integers(len(large))] if len(large) else None
    rows, columns = np.nonzero(mask)
    turn = rng.uniform(0, 2 * np.pi)
    way = np.cos(turn) * columns + np.sin(turn) * rows
    part = np.zeros_like(mask)
    part[rows, columns] = way > np.quantile(way, rng.uniform(0.25, 0.7))
    return part


def _resized(labels: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    size_wh = (shape[1], shape[0])
    return np.asarray(cv2.resize(labels, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)
