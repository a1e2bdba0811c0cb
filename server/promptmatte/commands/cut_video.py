"""Recordings matted off line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import ModelError
from promptmatte.frame import Frame, Matte
from promptmatte.matte.stream import MatteStream
from promptmatte.models.protocol import Model
from promptmatte.prompts import PromptSet


def offline_mattes(
    frames: Iterable[Frame],
    *,
    model: Model,
    prompts: PromptSet,
    config: PipelineConfig,
    controls: Controls,
    keyframe_every: int,
) -> Iterator[tuple[Frame, Matte]]:
    """Every rgb8 frame with its matte; none is dropped, however long encoding takes.

    Every `keyframe_every`-th frame, and the first of each shot, is encoded itself.
    """
    embedding = model.embed(prompts)
    stream = MatteStream(config)
    stream.set_controls(controls)

    def encode(frame: Frame) -> None:
        scene = model.encode(frame)
        stream.anchor(frame.info, model.decode(scene, embedding), prompts)

    for index, frame in enumerate(frames):
        if index % keyframe_every == 0:
            encode(frame)
        matte = stream.step(frame)
        if matte is None:  # a new shot between two keyframes
            stream.reset()
            encode(frame)
            matte = stream.step(frame)
        if matte is None:
            raise ModelError(f"expected a matte of frame {index}, which was encoded; got none")
        yield frame, matte
