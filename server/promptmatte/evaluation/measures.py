"""Measures of a matte against the truth: overlap, boundary, flicker."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.frame import Frame
from promptmatte.matte.luma import small_size_hw

Mask = npt.NDArray[np.bool_]

BOUNDARY_TOLERANCE = 0.008
"""Share of the picture's diagonal that a boundary may be away from the true one (DAVIS)."""

MOTION_SIDE_PX = 480
"""Longer side of the pictures that flicker is measured on."""

FLOW_DISAGREEMENT_PX = 1.5
TRUE_CHANGE = 0.5
CHANGE_MARGIN_PX = 2


def iou(matte: Mask, truth: Mask) -> float:
    """Intersection over union of two masks; 1 when both are empty."""
    union = int(np.count_nonzero(matte | truth))
    return int(np.count_nonzero(matte & truth)) / union if union else 1.0


def boundary_f(matte: Mask, truth: Mask) -> float:
    """F of boundary precision and recall, 0 to 1 (Perazzi et al. 2016, DAVIS).

    A boundary pixel is right within BOUNDARY_TOLERANCE of the diagonal, rounded up.
    Two masks without a boundary give 1.
    """
    reach_px = float(np.ceil(BOUNDARY_TOLERANCE * np.hypot(*truth.shape)))
    found, real = _boundary(matte), _boundary(truth)
    if not found.any() or not real.any():
        return float(found.any() == real.any())
    precision = _share_within(found, real, reach_px)
    recall = _share_within(real, found, reach_px)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: Mask) -> Mask:
    """Pixels that differ from the one to the right, below, or right and below."""
    edged = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    boundary: Mask = (mask ^ edged[:-1, 1:]) | (mask ^ edged[1:, :-1]) | (mask ^ edged[1:, 1:])
    return boundary


def _share_within(boundary: Mask, other: Mask, reach_px: float) -> float:
    """Share of the boundary's pixels that have one of the other boundary within reach."""
    away_px = cv2.distanceTransform((~other).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(np.mean(away_px[boundary] <= reach_px))


def small_wh(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the picture that motion is measured on."""
    height, width = small_size_hw(size_hw, MOTION_SIDE_PX)
    return width, height


def small_grey(frame: Frame) -> npt.NDArray[np.uint8]:
    """The rgb8 frame in grey, uint8 [h, w], at most MOTION_SIDE_PX on its longer side."""
    grey = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(
        cv2.resize(grey, small_wh(frame.size_hw), interpolation=cv2.INTER_AREA), np.uint8
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """From one picture to the next. where: float32 [h, w, 2], the x, y in the earlier
    picture that each pixel came from; trusted: bool [h, w], flow there and back agrees."""

    where: npt.NDArray[np.float32]
    trusted: Mask

    @classmethod
    def between(cls, earlier: npt.NDArray[np.uint8], now: npt.NDArray[np.uint8]) -> Motion:
        """The motion between two grey pictures uint8 [h, w] (DIS MEDIUM, both directions)."""
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        back, forth = flow.calc(now, earlier, None), flow.calc(earlier, now, None)
        rows, columns = np.mgrid[: now.shape[0], : now.shape[1]].astype(np.float32)
        where = back + np.stack([columns, rows], axis=-1)
        returned = back + cv2.remap(
            forth, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        away_px = cv2.magnitude(returned[..., 0], returned[..., 1])
        return cls(where=where, trusted=np.asarray(away_px <= FLOW_DISAGREEMENT_PX))

    def moved(self, plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A plane [h, w] of the earlier picture as it lies in the later one."""
        return np.asarray(
            cv2.remap(plane, self.where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.float32,
        )


def steady(
    truth: npt.NDArray[np.float32], earlier: npt.NDArray[np.float32], motion: Motion
) -> Mask:
    """Pixels [h, w] whose true alpha (0 to 1) only moved, so that a matte has no reason to
    change there: where the motion is trusted and no true change is near."""
    changed = np.abs(truth - motion.moved(earlier)) > TRUE_CHANGE
    side = 2 * CHANGE_MARGIN_PX + 1
    near = cv2.dilate(changed.view(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray(motion.trusted & (near == 0))


def flicker(
    alpha: npt.NDArray[np.float32],
    earlier: npt.NDArray[np.float32],
    motion: Motion,
    where: Mask,
) -> float:
    """Mean |alpha - earlier alpha, moved along| over the pixels `where`; 0 without any.

    alpha, earlier: float32 [h, w], 0 to 1. It is a mean over the picture and not over the
    thing, so that a small thing has a small flicker: compare only on the same clip.
    """
    if not where.any():
        return 0.0
    return float(np.abs(alpha - motion.moved(earlier))[where].mean())
