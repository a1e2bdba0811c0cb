"""Training samples of the correction: an anchor, and the next frames some time after it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from promptmatte.matte.colour_odds import ColourOdds, colour_index
from promptmatte.matte.correction import cells_of, colour_error
from promptmatte.matte.propagation import Field, carried
from promptmatte.training.clip_store import StoredClip

Mask = npt.NDArray[np.float32]

LAG_WEIGHTS = (1, 2, 2, 2, 4, 4, 4, 4, 4, 4, 2, 1, 1)
"""How often an anchor is 0, 1, 2, ... frames old; beyond that it is LONG_CHANCE."""

LONG_CHANCE = 0.08
LONGEST_LAG = 26
EARLIER_ANCHOR = 6
"""Frames between an anchor and the one before, whose track the result before comes from."""

STEPS = 2
"""Frames that follow one another in a sample: the second goes on from the result of the first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StepTensors:
    """One frame: picture [B, 3, H, W] 0..1, evidence [B, 4, H, W], origin [B, 2, h, w] in
    cells, way [B, H, W, 2] to the frame before for grid_sample, truth [B, H, W]."""

    picture: Tensor
    evidence: Tensor
    origin: Tensor
    way: Tensor
    truth: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class CorrectionBatch:
    """Anchors: picture [B, 3, H, W] and mask [B, H, W]; and the frames that follow."""

    anchor: Tensor
    anchor_mask: Tensor
    steps: tuple[StepTensors, ...]


def draw_batch(rng: np.random.Generator, clips: list[StoredClip], *, size: int) -> CorrectionBatch:
    """Samples of random clips."""
    drawn = [_drawn(rng, clips[rng.integers(len(clips))]) for _ in range(size)]
    steps = tuple(
        StepTensors(**{
            name: torch.from_numpy(np.stack([frames[step][name] for _, _, frames in drawn]))
            for name in ("picture", "evidence", "origin", "way", "truth")
        })
        for step in range(STEPS)
    )  # fmt: skip
    return CorrectionBatch(
        anchor=torch.from_numpy(np.stack([picture for picture, _, _ in drawn])),
        anchor_mask=torch.from_numpy(np.stack([mask for _, mask, _ in drawn])),
        steps=steps,
    )


def _drawn(
    rng: np.random.Generator, clip: StoredClip
) -> tuple[npt.NDArray[np.float32], Mask, list[dict[str, Mask]]]:
    lag = _lag(rng)
    anchor = int(rng.integers(0, len(clip.pictures) - lag - STEPS + 1))
    mirrored = bool(rng.random() < 0.5)
    inverted = bool(rng.random() < 0.15)
    seen = _Seen(clip, mirrored=mirrored, inverted=inverted)
    mask = degraded(rng, seen.truth(anchor))
    odds = ColourOdds(seen.picture(anchor), mask)
    frames: list[dict[str, Mask]] = []
    for now in range(anchor + lag, anchor + lag + STEPS):
        origins = seen.origins(anchor, now)
        held = carried(mask[np.newaxis], origins)[0]
        before = held
        if not frames and now:
            before = _before(rng, seen, held, anchor=anchor, now=now)
        picture = seen.picture(now)
        error = colour_error(seen.picture(anchor), origins, picture)
        colours = odds.of(colour_index(picture))
        frames.append({
            "picture": _planes(picture),
            "evidence": np.stack([2 * held - 1, 2 * before - 1, colours, error]),
            "origin": cells_of(origins),
            "way": _normalised(seen.origins(now - 1, now) if now else origins),
            "truth": seen.truth(now),
        })  # fmt: skip
    return _planes(seen.picture(anchor)), mask, frames


def _before(rng: np.random.Generator, seen: _Seen, held: Mask, *, anchor: int, now: int) -> Mask:
    """A result of the frame before, carried to now: none yet, the track of an earlier anchor,
    or a good one with faults."""
    match rng.choice(3, p=(0.35, 0.35, 0.3)):
        case 0:
            return held
        case 1:
            earlier = max(0, anchor - EARLIER_ANCHOR)
            track = degraded(rng, seen.truth(earlier))[np.newaxis]
            track = carried(track, seen.origins(earlier, now))
        case _:
            result = blotched(rng, degraded(rng, seen.truth(now - 1)))[np.newaxis]
            track = carried(result, seen.origins(now - 1, now))
    before: Mask = track[0]
    return before


def _lag(rng: np.random.Generator) -> int:
    if rng.random() < LONG_CHANCE:
        return int(rng.integers(len(LAG_WEIGHTS), LONGEST_LAG + 1))
    weights = np.array(LAG_WEIGHTS, float)
    return int(rng.choice(len(weights), p=weights / weights.sum()))


class _Seen:
    """A stored clip, perhaps mirrored, its mattes perhaps inverted."""

    def __init__(self, clip: StoredClip, *, mirrored: bool, inverted: bool) -> None:
        self._clip, self._mirrored, self._inverted = clip, mirrored, inverted

    def picture(self, seq: int) -> npt.NDArray[np.uint8]:
        return np.asarray(self._turned(self._clip.pictures[seq]), np.uint8)

    def truth(self, seq: int) -> Mask:
        truth = self._turned(self._clip.truths[seq]).astype(np.float32) / 255
        return np.asarray(1 - truth if self._inverted else truth, np.float32)

    def origins(self, seq: int, now: int) -> Field:
        where = np.asarray(self._turned(self._clip.origins(seq, now)), np.float32)
        if self._mirrored:
            where[..., 0] = where.shape[1] - 1 - where[..., 0]
        return where

    def _turned(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.ascontiguousarray(array[:, ::-1]) if self._mirrored else array


def degraded(rng: np.random.Generator, mask: Mask) -> Mask:
    """A true mask as a model might give it: coarse, soft, too wide or too narrow, unsure."""
    if rng.random() < 0.5:
        height, width = mask.shape
        share = rng.uniform(0.12, 0.32)
        small = cv2.resize(mask, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        steep = rng.uniform(1, 4) if rng.random() < 0.6 else 1.0
        mask = np.clip((mask - 0.5) * steep + 0.5, 0, 1)
    if rng.random() < 0.15:
        side = 2 * int(rng.integers(1, 4)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        mask = cv2.dilate(mask, disc) if rng.random() < 0.5 else cv2.erode(mask, disc)
    if rng.random() < 0.2:
        mask = 0.5 + (mask - 0.5) * rng.uniform(0.4, 1)
    return mask.astype(np.float32)


def blotched(rng: np.random.Generator, mask: Mask) -> Mask:
    """A mask with pieces lost and pieces added about its edge."""
    mask = mask.copy()
    edge = np.argwhere(np.abs(mask - 0.5) < 0.45)
    for _ in range(rng.integers(0, 5) if len(edge) else 0):
        row, column = edge[rng.integers(len(edge))]
        axes = (int(rng.integers(3, 25)), int(rng.integers(3, 14)))
        turn, value = float(rng.uniform(0, 180)), float(rng.random() < 0.35)
        cv2.ellipse(mask, (int(column), int(row)), axes, turn, 0, 360, value, -1)
    return mask


def _planes(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(picture.transpose(2, 0, 1), np.float32, order="C") / np.float32(255)


def _normalised(origins: Field) -> Field:
    """Places in pixels as grid_sample wants them with align_corners."""
    height, width = origins.shape[:2]
    span = np.array([2 / (width - 1), 2 / (height - 1)], np.float32)
    return np.asarray(origins * span - 1, np.float32)
