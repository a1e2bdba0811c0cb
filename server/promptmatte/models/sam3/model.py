"""SAM 3 as a Model: any text, no CLIP and no prompter in between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from promptmatte.errors import ModelError
from promptmatte.frame import Frame, PixelFormat
from promptmatte.models.choice import ModelChoice
from promptmatte.models.combine import combined
from promptmatte.models.protocol import Decoded, Progress, PromptEmbedding, Scene, no_progress
from promptmatte.models.sam3.loading import load_network
from promptmatte.models.sam3.network import Sam3Network, Sam3Words
from promptmatte.models.text_cache import TextCache
from promptmatte.models.vocabulary import vocabulary
from promptmatte.prompts import PromptSet

PRESENCE_BATCH = 4
"""Texts looked for at once: the detector needs about 150 MB for each in float32 (peak of the
process with 4 texts, CPU, 1008 px)."""


class Sam3:
    """Model protocol over one Sam3Network."""

    def __init__(self, network: Sam3Network) -> None:
        self._network = network
        self._texts = TextCache(self._read)

    @classmethod
    def load(cls, choice: ModelChoice, *, device: str, progress: Progress = no_progress) -> Sam3:
        """The model of a folder (choice.weights) or of the hub's cache; ModelError."""
        return cls(load_network(choice, device=device, progress=progress))

    @property
    def name(self) -> str:
        """sam3"""
        return "sam3"

    @property
    def device(self) -> str:
        """The torch device."""
        return str(self._network.device)

    @property
    def presence_batch(self) -> int:
        """Few: each text is a pass of the detector."""
        return PRESENCE_BATCH

    @property
    def words(self) -> tuple[str, ...]:
        """The shipped vocabulary."""
        return vocabulary()

    @property
    def precision(self) -> str:
        """fp32, bf16 or fp16: that of the encoders."""
        return self._network.precision

    def unknown_words(self, text: str) -> tuple[str, ...]:  # noqa: ARG002
        """None: it looks for any text."""
        return ()

    def taken_as(self, text: str) -> str | None:  # noqa: ARG002
        """Nothing: a text is what it says."""
        return None

    def encode(self, frame: Frame) -> Scene:
        """The Scene of an rgb8 frame: Sam3Features of the whole of it."""
        if frame.format is not PixelFormat.RGB8:
            raise ModelError(f"expected an rgb8 frame; got {frame.format.name.lower()}")
        features = self._network.encode(frame.pixels.view(np.uint8))
        return Scene(info=frame.info, size_hw=frame.size_hw, features=features)

    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        """Sam3Words of every term of the set; None without prompts."""
        terms = prompts.terms
        return PromptEmbedding(prompts=prompts, vectors=self._words(terms) if terms else None)

    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        """Logits [P, h, w] and confidence, combined from those of the terms: the confidence
        of a term is that of its best instance, its mask that of all of them."""
        if not embedding.prompts.terms:
            return combined(embedding.prompts)
        logits, scores = self._network.find(scene.features, embedding.vectors)
        return combined(embedding.prompts, logits.cpu().numpy(), scores.tolist())

    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:
        """The confidence that decode would give each text; each is judged on its own."""
        if not texts:
            return ()
        return tuple(self._network.scores(scene.features, self._words(texts)).tolist())

    def _words(self, texts: Sequence[str]) -> Sam3Words:
        """The words of one or more texts, one row each, from the cache where they are in it."""
        found = self._texts.of(texts)
        return Sam3Words(
            vectors=torch.stack([words.vectors for words in found]),
            mask=torch.stack([words.mask for words in found]),
        )

    def _read(self, texts: list[str]) -> list[Sam3Words]:
        words = self._network.texts(texts)
        return [
            Sam3Words(vectors=vectors, mask=mask)
            for vectors, mask in zip(words.vectors, words.mask, strict=True)
        ]
