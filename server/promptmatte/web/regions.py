"""What was found in a picture: a region for each prompt, to show, to point at and to keep."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptmatte.commands.cut_file import Cutter, rgba_png
from promptmatte.controls import Controls
from promptmatte.frame import Frame
from promptmatte.models.protocol import Model
from promptmatte.prompts import Prompt, PromptSet

SEPARATORS = re.compile(r"[\n,;，；、]+")
SEEN = 128
"""Alpha from which on a place is part of a region for a finger."""


def prompts_in(text: str) -> PromptSet:
    """The prompts of a text, one a line or with commas between; PromptError for none, more than
    four or unusable ones."""
    parts = [part for part in SEPARATORS.split(text) if part.strip()]
    prompts = tuple(Prompt.parse(part) for part in parts or [""])
    return PromptSet(version=1, prompts=prompts)


def shaped(*, threshold: float, smoothness: int) -> Controls:
    """The controls of a cut with the two that the page offers; ControlError."""
    return Controls().replaced({"threshold": threshold, "smoothness": smoothness})


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """name: the prompt as it was taken. alpha: uint8 [H, W], 0 where the thing is absent."""

    name: str
    confidence: float
    present: bool
    alpha: npt.NDArray[np.uint8]

    @property
    def label(self) -> str:
        """Name and confidence, as the picture's legend shows them."""
        return f"{self.name} {self.confidence:.0%}"

    @property
    def share(self) -> float:
        """How much of the picture it covers, 0..1."""
        return float(self.alpha.mean()) / 255


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """The regions of one rgb8 picture."""

    picture: Frame
    found: tuple[Region, ...]

    @classmethod
    def cut(
        cls, picture: Frame, *, model: Model, prompts: PromptSet, controls: Controls
    ) -> Regions:
        """The regions of the prompts in an rgb8 picture; ModelError."""
        cutter = Cutter(model=lambda: model, prompts=prompts, controls=controls)
        frame, matte = cutter.picture(picture)
        rows = zip(prompts.prompts, matte.confidence, controls.channels, strict=False)
        return cls(
            picture=frame,
            found=tuple(
                Region(
                    name=p.typed,
                    confidence=confidence,
                    present=confidence >= channel_controls.confidence_floor,
                    alpha=np.asarray(matte.alpha[..., channel], np.uint8),
                )
                for channel, (p, confidence, channel_controls) in enumerate(rows)
            ),
        )

    @property
    def present(self) -> tuple[Region, ...]:
        """Those of things that are there."""
        return tuple(region for region in self.found if region.present)

    def annotated(self) -> tuple[npt.NDArray[np.uint8], list[tuple[npt.NDArray[np.float32], str]]]:
        """What gr.AnnotatedImage takes: the picture; alpha and label of each present region."""
        masks = [(np.divide(r.alpha, 255, dtype=np.float32), r.label) for r in self.present]
        return np.asarray(self.picture.pixels, np.uint8), masks

    def at(self, x: float, y: float) -> Region | None:
        """The present region at this place (0..1 from the left and the top), the surest where
        several overlap; None beside them all."""
        height, width = self.picture.size_hw
        row = min(height - 1, max(0, int(y * height)))
        column = min(width - 1, max(0, int(x * width)))
        here = [region for region in self.present if region.alpha[row, column] >= SEEN]
        return max(here, key=lambda region: region.confidence, default=None)

    def png(self, region: Region | None = None) -> bytes:
        """The cut-out of one region, or of all, as a PNG with straight alpha."""
        if region is not None:
            return rgba_png(self.picture, region.alpha)
        empty = np.zeros(self.picture.size_hw, np.uint8)
        return rgba_png(self.picture, np.maximum.reduce([empty, *(r.alpha for r in self.found)]))
