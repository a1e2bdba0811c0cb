"""The matte of one picture by itself: no motion, no time."""

from __future__ import annotations

from promptmatte.config import PipelineConfig
from promptmatte.errors import ModelError
from promptmatte.frame import Frame, Matte
from promptmatte.matte.stream import MatteStream
from promptmatte.models.protocol import Model, Scene
from promptmatte.prompts import PromptSet


def still_matte(
    model: Model, scene: Scene, frame: Frame, prompts: PromptSet, *, config: PipelineConfig
) -> Matte:
    """The matte of the rgb8 frame that the Scene was encoded from; ModelError if it is another."""
    stream = MatteStream(config)
    stream.anchor(scene.info, model.decode(scene, model.embed(prompts)), prompts)
    matte = stream.step(frame)
    if matte is None:
        raise ModelError(f"expected a Scene of frame {frame.info}; got one of {scene.info}")
    return matte
