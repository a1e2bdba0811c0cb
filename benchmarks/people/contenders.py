"""Those who key people: a model of PromptMatte here, MediaPipe in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from promptmatte.bench.contenders.process import (
    MEDIAPIPE,
    MEDIAPIPE_PACKAGES,
    MEDIAPIPE_PYTHON,
    Contender,
    PeerError,
    command_for,
)
from promptmatte.config import PipelineConfig
from promptmatte.errors import PromptMatteError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.stream import MatteStream
from promptmatte.models.protocol import Model
from promptmatte.prompts import Prompt, PromptSet

from .cases import PROMPT, Mask, Pixels

HALF = 128
"""Of alpha 0 to 255."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """Where people are, bool [H, W], by alpha of half and more; time from the picture in memory
    to the mask at its size; confidence 0..1, of those who tell none 1."""

    mask: Mask
    milliseconds: float
    confidence: float = 1.0


class Ours:
    """PromptMatte with one of its models, prompted with "person": the matte of a first frame at
    the default controls, as it is live."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prompts = PromptSet(version=1, prompts=(Prompt(text=PROMPT),))
        self._embedding = model.embed(self._prompts)
        self._stream = MatteStream(PipelineConfig())
        self.name = f"PromptMatte {model.name}"

    def answers(self, pixels: Pixels) -> dict[str, Answer]:
        """Its answer, by its name."""
        info = FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0)
        frame = Frame(info=info, pixels=pixels)
        start_ns = time.perf_counter_ns()
        decoded = self._model.decode(self._model.encode(frame), self._embedding)
        self._stream.reset()
        self._stream.anchor(info, decoded, self._prompts)
        matte = self._stream.step(frame)
        ms = (time.perf_counter_ns() - start_ns) / 1e6
        if matte is None:
            raise PromptMatteError("expected a matte of a picture that was encoded; got none")
        mask = matte.alpha[..., 0] >= HALF
        return {self.name: Answer(mask=mask, milliseconds=ms, confidence=matte.confidence[0])}


class MediaPipe(Contender):
    """Both models of MediaPipe's selfie segmentation, in one worker."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Starts the worker, by default in an environment that uv makes; PeerError."""
        try:
            super().__init__(command or command_for(MEDIAPIPE))
        except PeerError as error:
            raise PeerError(
                f"{error}\nMediaPipe needs uv, Python {MEDIAPIPE_PYTHON} and "
                f"{', '.join(MEDIAPIPE_PACKAGES)} from the package registry"
            ) from error

    def masks(self, pixels: Pixels) -> dict[str, Answer]:
        """The answer of each model, by its name; PeerError."""
        return {
            name: Answer(mask=answer.alpha >= 0.5, milliseconds=answer.milliseconds)
            for name, answer in self.answers(pixels).items()
        }
