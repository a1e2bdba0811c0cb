"""What every model can do: encode a frame once, decode prompts on it as often as they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from promptmatte.frame import Frame, FrameInfo
from promptmatte.prompts import PromptSet

Progress = Callable[[str, float], None]
"""Told what is being done ("reading sam-vit-b") and how far loading is, 0..1."""


def no_progress(_stage: str, _share: float) -> None:
    """A Progress that tells nobody."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """All that one encode produced: info and size of the frame, features of the model's own."""

    info: FrameInfo
    size_hw: tuple[int, int]
    features: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptEmbedding:
    """A PromptSet in the model's own terms; holds for every Scene of that model."""

    prompts: PromptSet
    vectors: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """Logits float32 [P, h, w] over the whole frame at the model's resolution (alpha is
    their sigmoid) and a confidence 0..1 for each of the P prompts (0: nothing matches)."""

    logits: npt.NDArray[np.float32]
    confidence: tuple[float, ...]


class Model(Protocol):
    """One model on one device; called from one thread at a time."""

    @property
    def name(self) -> str:
        """The name as chosen with --model."""
        ...

    @property
    def device(self) -> str:
        """The torch device it runs on, e.g. cpu, cuda:0, mps."""
        ...

    @property
    def words(self) -> tuple[str, ...]:
        """What it suggests prompts from when no words are given."""
        ...

    @property
    def presence_batch(self) -> int:
        """Texts that `presence` takes at a time, so that keyframes can come in between."""
        ...

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a text that mean nothing to it; none with open vocabulary. Quick, and
        called from any thread, as is taken_as."""
        ...

    def taken_as(self, text: str) -> str | None:
        """What it takes a text for, where that is not just what it says; None also for a text of
        which it knows nothing."""
        ...

    def encode(self, frame: Frame) -> Scene:
        """The Scene of an rgb8 frame."""
        ...

    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        """The embedding of the prompts; texts seen before come from a cache."""
        ...

    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        """Logits and confidence of each prompt on a Scene."""
        ...

    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:
        """How sure it is, 0..1, that each text is in a Scene; those of one call may vie."""
        ...


@runtime_checkable
class BatchModel(Model, Protocol):
    """A model that encodes frames of several streams in one pass, where that saves time."""

    @property
    def encode_batch(self) -> int:
        """Frames of one pass at most; 1 where a pass a frame is as fast."""
        ...

    def encode_many(self, frames: Sequence[Frame]) -> list[Scene]:
        """The Scene of each rgb8 frame, as `encode` makes it but for rounding."""
        ...
