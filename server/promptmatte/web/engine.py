"""The page's own model for pictures and videos: loaded once, when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from promptmatte.frame import Frame
from promptmatte.models import load_model
from promptmatte.models.choice import ModelChoice
from promptmatte.models.protocol import Decoded, Model, PromptEmbedding, Scene
from promptmatte.prompts import PromptSet

T = TypeVar("T")


class Engine:
    """A Model of which several threads may make use: it does one step at a time, so that a
    picture need not wait for the end of a video."""

    def __init__(self, choice: ModelChoice) -> None:
        self._choice = choice
        self._lock = threading.Lock()
        self._loaded: Model | None = None

    def load(self) -> Engine:
        """This engine, its model loaded; ModelError, DownloadError."""
        self._turn(lambda _: None)
        return self

    @property
    def name(self) -> str:
        """The name as chosen with --model."""
        return self._choice.name

    @property
    def device(self) -> str:
        """The torch device it runs on."""
        return self._turn(lambda model: model.device)

    @property
    def words(self) -> tuple[str, ...]:
        """What it suggests prompts from."""
        return self._turn(lambda model: model.words)

    @property
    def presence_batch(self) -> int:
        """Texts that `presence` takes at a time."""
        return self._turn(lambda model: model.presence_batch)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a text that mean nothing to it."""
        return self._turn(lambda model: model.unknown_words(text))

    def taken_as(self, text: str) -> str | None:
        """What it takes a text for, where that is not just what it says."""
        return self._turn(lambda model: model.taken_as(text))

    def encode(self, frame: Frame) -> Scene:
        """The Scene of an rgb8 frame."""
        return self._turn(lambda model: model.encode(frame))

    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        """The embedding of the prompts."""
        return self._turn(lambda model: model.embed(prompts))

    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        """Logits and confidence of each prompt on a Scene."""
        return self._turn(lambda model: model.decode(scene, embedding))

    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:
        """How sure it is that each text is in a Scene."""
        return self._turn(lambda model: model.presence(scene, texts))

    def _turn(self, step: Callable[[Model], T]) -> T:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_model(self._choice)
            return step(self._loaded)
