"""Things of training pictures without their names, and how CLIP is shown one of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.training.samples import Labelled

REGIONS = 8
"""Things kept of one picture, drawn at random from those that are large enough."""

SMALLEST_SHARE = 0.005

MARGIN = (1.1, 1.7)
"""A crop is this many times as large as the thing, so that CLIP sees a little of where it is."""

GREY = 118
GREYED = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """One thing of a picture uint8 [H, W, 3], mask bool [H, W]; margin: see MARGIN."""

    pixels: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    margin: float

    def crop(self, side: int) -> npt.NDArray[np.uint8]:
        """The thing in the middle of a square, uint8 [side, side, 3], what is around it blurred
        and greyed.

        After the crops of masks that stand in for text in Kirillov et al. 2023, appendix D.5;
        blurred since CLIP names what is sharp (Yang et al. 2023, fine-grained visual prompting).
        """
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        own = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
        centre = ((columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2)
        scale = side / (own * self.margin)
        matrix = np.array(
            [
                [scale, 0.0, side / 2 - scale * centre[0]],
                [0.0, scale, side / 2 - scale * centre[1]],
            ]
        )
        pixels = cv2.GaussianBlur(self.pixels, (0, 0), 0.4 / scale) if scale < 0.7 else self.pixels
        size = (side, side)
        shown = cv2.warpAffine(pixels, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
        alpha = cv2.warpAffine(self.mask.astype(np.float32), matrix, size)[..., None]
        around = cv2.GaussianBlur(shown, (0, 0), side / 24).astype(np.float32)
        around += GREYED * (GREY - around)
        return np.asarray(np.rint(around + alpha * (shown - around)), np.uint8)


def regions_of(labelled: Labelled, rng: random.Random) -> list[Region]:
    """Some things of a picture: connected parts of its labels, whatever these are called."""
    dataset = labelled.dataset
    groups = list(dataset.concepts.values())
    if not groups:
        ids = (int(i) for i in np.unique(labelled.labels))
        groups = [(i,) for i in ids if i != 0 and i not in dataset.ignore]
    masks = []
    for ids_of_thing in groups:
        here = np.isin(labelled.labels, ids_of_thing).astype(np.uint8)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(here)
        large = stats[:, cv2.CC_STAT_AREA] >= SMALLEST_SHARE * here.size
        masks += [parts == part for part in range(1, count) if large[part]]
    kept = rng.sample(masks, min(REGIONS, len(masks)))
    return [Region(pixels=labelled.pixels, mask=mask, margin=rng.uniform(*MARGIN)) for mask in kept]
