"""A Model that takes what is red for a person, a car or a horse, and knows nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from promptmatte.frame import Frame
from promptmatte.models.protocol import Decoded, PromptEmbedding, Scene
from promptmatte.prompts import PromptSet

RED_THINGS = ("person", "car", "horse")


class RedModel:
    """Logits at half the size of the frame, +-8; confidence 0.9, or 0.1 for other words."""

    name = "red"
    device = "cpu"
    words = RED_THINGS
    presence_batch = 4

    def encode(self, frame: Frame) -> Scene:
        pixels = np.asarray(frame.pixels).astype(np.int16)
        red = (pixels[..., 0] > pixels[..., 1] + 80) & (pixels[..., 0] > pixels[..., 2] + 80)
        return Scene(info=frame.info, size_hw=frame.size_hw, features=red)

    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        return PromptEmbedding(prompts=prompts, vectors=None)

    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        height, width = scene.size_hw
        plane = np.where(scene.features, 8.0, -8.0).astype(np.float32)
        small = cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        texts = [prompt.text for prompt in embedding.prompts.prompts]
        return Decoded(
            logits=np.stack([small] * len(texts)),
            confidence=tuple(0.9 if text in RED_THINGS else 0.1 for text in texts),
        )

    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:
        return tuple(0.9 if text in RED_THINGS else 0.1 for text in texts)
