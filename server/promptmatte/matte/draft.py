"""A frame's masks before its edges, and the matte that is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.controls import Controls
from promptmatte.frame import Frame, Matte
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.foreground import premultiplied_foreground
from promptmatte.matte.luma import Luma
from promptmatte.matte.masks import widest
from promptmatte.matte.shaping import finish_alpha, shape_mask
from promptmatte.prompts import PromptSet


@dataclass(frozen=True, kw_only=True, eq=False)
class Draft:
    """What is known of a frame's matte when its things have been followed.

    masks: float32 [P, h, w], 0 to 1, size of luma.small, not to be written to; P = 0 without
    prompts. levels: [P], how much of each shows, 0 to 1. The rest is as in Matte. It
    needs nothing of its stream any more: `matte` may be called while the next frame is followed.
    """

    frame: Frame
    luma: Luma
    masks: npt.NDArray[np.float32]
    levels: npt.NDArray[np.float64]
    controls: Controls
    prompts: PromptSet
    confidence: tuple[float, ...] = ()
    anchor_seq: int = -1
    age_ms: float = 0.0

    def matte(self) -> Matte:
        """The matte: masks shaped by the controls and fitted to the frame's edges."""
        found = len(self.masks) > 0
        alpha = self._alpha() if found else np.zeros((*self.frame.size_hw, 1), np.uint8)
        return Matte(
            info=self.frame.info,
            alpha=alpha,
            anchor_seq=self.anchor_seq,
            age_ms=self.age_ms,
            confidence=self.confidence,
            prompts_version=self.prompts.version,
            fill=self._fill(alpha) if found else None,
        )

    def _alpha(self) -> npt.NDArray[np.uint8]:
        masks, levels, controls = self.masks, self.levels, self.controls
        if levels.min() <= 0:
            masks = masks * (levels > 0)[:, np.newaxis, np.newaxis].astype(np.float32)
        detail = [channel.edge_detail for channel in controls.channels[: len(masks)]]
        alpha = EdgeRefiner().refine(shape_mask(masks, controls), self.luma, detail)
        return finish_alpha(_faded(alpha, levels), controls, len(masks))

    def _fill(self, alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic] | None:
        pixels = self.frame.pixels
        match self.controls.stream.fill:
            case "picture":
                return pixels
            case "foreground":
                foreground: npt.NDArray[np.generic] = premultiplied_foreground(
                    pixels, widest(alpha)
                )
                return foreground
        return None


def _faded(alpha: npt.NDArray[np.uint8], levels: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Alpha [H, W, C] with each prompt's channel at its level, 0 to 1."""
    if levels.min() < 1:
        scale = (*levels, *[1.0] * (4 - len(levels)))
        alpha = np.asarray(cv2.multiply(alpha, scale), np.uint8).reshape(alpha.shape)
    return alpha
