"""Which of many words are in the picture: asked by a person, found out by the keyframe thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptmatte.errors import PromptError
from promptmatte.models.protocol import Model, Scene
from promptmatte.prompts import Prompt, PromptSet, clean_text

MAX_WORDS = 400
LEARNED_AT_ONCE = 4
"""Texts embedded between two looks for a due keyframe."""


class Inquiry:
    """Words and how surely each is in one picture; steps of the search are short.

    words: without any, those that the model knows best. PromptError for too many or
    unusable ones.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        if len(words) > MAX_WORDS:
            raise PromptError(f"expected at most {MAX_WORDS} words; got {len(words)}")
        self._asked = tuple(dict.fromkeys(clean_text(word) for word in words))
        self._words: tuple[str, ...] = ()
        self._learned = 0
        self._scene: Scene | None = None
        self._confidence: list[float] = []
        self._found: tuple[tuple[str, float], ...] | None = None
        self._error: str | None = None

    @property
    def done(self) -> bool:
        """True once there is an answer or an error."""
        return self._found is not None or self._error is not None

    @property
    def scene(self) -> Scene | None:
        """The picture it is about, once that is settled."""
        return self._scene

    def step(self, model: Model, scene: Scene) -> None:
        """One short step on: a few texts embedded, or looked for."""
        if self._scene is None:
            self._scene, self._words = scene, self._asked or model.words
        few = self._words[self._learned : self._learned + LEARNED_AT_ONCE]
        if few:
            model.embed(PromptSet(prompts=tuple(Prompt(text=word) for word in few)))
            self._learned += len(few)
            return
        done = len(self._confidence)
        self._confidence += model.presence(
            self._scene, self._words[done : done + model.presence_batch]
        )
        if len(self._confidence) == len(self._words):
            pairs = zip(self._words, self._confidence, strict=True)
            self._found = tuple(sorted(pairs, key=lambda pair: -pair[1]))

    def restart(self) -> None:
        """Forgets what another model found out."""
        self._learned, self._scene, self._confidence = 0, None, []

    def fail(self, error: str) -> None:
        """Ends it without an answer."""
        self._error = error

    def answer(self, limit: int) -> dict[str, Any]:
        """done, error, and the surest `limit` words with their confidence, as JSON values."""
        found = self._found or ()
        return {
            "done": self.done,
            "error": self._error,
            "suggestions": [
                {"text": text, "confidence": round(confidence, 4)}
                for text, confidence in found[:limit]
            ],
        }
