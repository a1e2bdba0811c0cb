"""A model that knows the truth, so that what follows a model is measured apart from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.frame import Frame
from promptmatte.models.protocol import Decoded, PromptEmbedding, Scene
from promptmatte.prompts import PromptSet

MASK_WIDTH_PX = 480
"""Masks are made this wide at most: soft at their edges, as a model's are."""

SURE_LOGIT = 8.0


class OracleModel:
    """Finds in a frame what is true of it. truth: seq -> bool [P, H, W], a plane a prompt."""

    name = "oracle"
    device = "cpu"
    words = ()
    presence_batch = 1

    def __init__(self, truth: Callable[[int], npt.NDArray[np.bool_]]) -> None:
        self._truth = truth

    def encode(self, frame: Frame) -> Scene:
        """The Scene of a frame that there is a truth of."""
        height, width = frame.size_hw
        scale = min(1.0, MASK_WIDTH_PX / width)
        small_wh = max(1, round(width * scale)), max(1, round(height * scale))
        planes = self._truth(frame.info.seq).astype(np.float32)
        shares = [cv2.resize(p, small_wh, interpolation=cv2.INTER_AREA) for p in planes]
        return Scene(info=frame.info, size_hw=frame.size_hw, features=np.stack(shares))

    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        """The prompts: which plane is which is settled already."""
        return PromptEmbedding(prompts=prompts, vectors=None)

    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:  # noqa: ARG002
        """The logit of the share of each cell that is covered; confidence 1, or 0 without any."""
        shares: npt.NDArray[np.float32] = scene.features
        with np.errstate(divide="ignore"):
            logits = np.log(shares) - np.log1p(-shares)
        return Decoded(
            logits=np.clip(logits, -SURE_LOGIT, SURE_LOGIT),
            confidence=tuple(float(plane.any()) for plane in shares),
        )

    def unknown_words(self, text: str) -> tuple[str, ...]:  # noqa: ARG002
        """None: it knows masks, no words."""
        return ()

    def taken_as(self, text: str) -> str | None:  # noqa: ARG002
        """Nothing."""
        return None

    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:  # noqa: ARG002
        """Nothing of any text: it knows masks, no words."""
        return (0.0,) * len(texts)
