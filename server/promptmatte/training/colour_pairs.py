"""Composed pictures of two things of one name and two colours, to see which one is picked."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.frame import Frame, FrameInfo
from promptmatte.models.protocol import Model
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.datasets import Dataset
from promptmatte.training.metrics import full_size
from promptmatte.training.samples import Labelled, Mask, Pixels, read_labelled, told

PAINTS = {"red": (190, 25, 30), "blue": (30, 60, 190), "green": (30, 140, 45)}
"""sRGB of a painted thing at middle grey."""

PAINTED = ("car", "dress", "coat", "jacket", "skirt", "shirt", "t-shirt", "sweater", "pants",
           "chair", "bird", "bicycle", "flower", "bus", "horse", "cow")  # fmt: skip

SIZE_HW = (360, 640)
SMALLEST_SHARE = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class ColourPair:
    """A picture uint8 RGB [H, W, 3] with two things of a concept: bool [H, W] by colour."""

    concept: str
    pixels: Pixels
    masks: dict[str, Mask]


def colour_pairs(datasets: Sequence[Dataset], *, count: int, seed: int = 0) -> Iterator[ColourPair]:
    """Pairs made of held-out pictures: two of them side by side, each with its thing painted.

    The paint keeps the shading: the colour scaled by the luminance of each pixel.
    """
    rng = random.Random(seed)
    donors: dict[str, list[Labelled]] = {}
    for dataset in datasets:
        for picture in dataset.split()[1]:
            labelled = read_labelled(dataset, picture, long_side=480)
            for concept in PAINTED:
                if told(dataset, labelled.labels, concept)[0].mean() >= SMALLEST_SHARE:
                    donors.setdefault(concept, []).append(labelled)
    names = [concept for concept, own in sorted(donors.items()) if len(own) >= 2]
    for _ in range(count if names else 0):
        concept = rng.choice(names)
        first, second = rng.sample(donors[concept], 2)
        one, two = rng.sample(sorted(PAINTS), 2)
        left, left_mask = _half(first, concept, one)
        right, right_mask = _half(second, concept, two)
        pixels = np.hstack([left, right])
        masks = {
            one: np.hstack([left_mask, np.zeros_like(right_mask)]),
            two: np.hstack([np.zeros_like(left_mask), right_mask]),
        }
        yield ColourPair(concept=concept, pixels=pixels, masks=masks)


def _half(labelled: Labelled, concept: str, colour: str) -> tuple[Pixels, Mask]:
    """One half of the picture, the thing in it painted."""
    height, width = SIZE_HW[0], SIZE_HW[1] // 2
    mask = told(labelled.dataset, labelled.labels, concept)[0]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    whole_h, whole_w = mask.shape
    part_h = min(whole_h, int(whole_w * height / width))
    part_w = min(whole_w, int(whole_h * width / height))
    top = int(np.clip((rows[0] + rows[-1] - part_h) // 2, 0, whole_h - part_h))
    left = int(np.clip((columns[0] + columns[-1] - part_w) // 2, 0, whole_w - part_w))
    window = (slice(top, top + part_h), slice(left, left + part_w))
    size_wh = (width, height)
    pixels = cv2.resize(labelled.pixels[window], size_wh, interpolation=cv2.INTER_AREA)
    small = cv2.resize(mask[window].view(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) > 0
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    grey = 0.45 * grey + 0.55 * 128 * grey / max(1.0, float(grey[small].mean()))
    painted = np.clip(grey / 128 * np.array(PAINTS[colour], np.float32), 0, 255)
    soft = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 0.8)[..., None]
    mixed: npt.NDArray[np.float32] = pixels + soft * (painted - pixels)
    return mixed.astype(np.uint8), small


def picked_right(model: Model, pairs: Iterator[ColourPair], *, floor: float) -> list[bool]:
    """For each pair and each of its colours: is the matte of "red car" mostly on the red one?

    An empty matte, or one below the confidence floor, is wrong.
    """
    right: list[bool] = []
    for pair in pairs:
        info = FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0)
        scene = model.encode(Frame(info=info, pixels=pair.pixels))
        colours = tuple(pair.masks)
        prompts = PromptSet(prompts=tuple(Prompt(text=f"{c} {pair.concept}") for c in colours))
        decoded = model.decode(scene, model.embed(prompts))
        for row, colour in enumerate(colours):
            matte = full_size(decoded.logits[row], pair.pixels.shape) > 0
            own = float(matte[pair.masks[colour]].mean())
            other = max(float(matte[m].mean()) for c, m in pair.masks.items() if c != colour)
            right.append(decoded.confidence[row] >= floor and own >= 0.1 and own > 2 * other)
    return right
