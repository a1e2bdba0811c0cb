"""Pictures of people with the truth about them, in groups; none was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from promptmatte.training.datasets import Dataset, Picture, load_dataset
from promptmatte.training.samples import Crop, read_labelled

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

GROUPS = {
    "portraits": ("human290",),
    "whole figures": ("ccp",),
    "street and everyday": ("coco_small", "msrc21"),
    "sport clip": ("davis_tennis",),
}
"""Group -> folders of the data. Of each its held-out pictures, but of WHOLE_SETS all."""

WHOLE_SETS = {"davis_tennis": 255}
"""Sets that are never trained on, and the label of their person (there with the racket)."""

PROMPT = "person"
SMALLEST_SHARE = 0.01
"""Pictures of which people cover less are left out."""

LONG_SIDE_PX = 1 << 14
"""Pictures are not shrunk."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A picture uint8 RGB [H, W, 3]; where people are, and where that is known, bool [H, W]."""

    pixels: Pixels
    truth: Mask
    known: Mask


@dataclass(frozen=True, kw_only=True)
class Place:
    """A picture of a group, by its files."""

    group: str
    dataset: Dataset
    picture: Picture

    def case(self) -> Case:
        """The picture and its truth, read."""
        labelled = read_labelled(self.dataset, self.picture, long_side=LONG_SIDE_PX)
        label = WHOLE_SETS.get(self.dataset.name)
        if label is None:
            crop = Crop(dataset=self.dataset, pixels=labelled.pixels, labels=labelled.labels)
            truth, known = crop.mask(PROMPT)
        else:
            truth, known = labelled.labels == label, np.ones(labelled.labels.shape, np.bool_)
        return Case(pixels=labelled.pixels, truth=truth & known, known=known)


def places(data: Path) -> list[Place]:
    """The pictures of all groups; DataError when a folder is missing."""
    found = []
    for group, names in GROUPS.items():
        for name in names:
            dataset = load_dataset(data / name)
            pictures = dataset.pictures if name in WHOLE_SETS else dataset.split()[1]
            found += [Place(group=group, dataset=dataset, picture=p) for p in pictures]
    return found
