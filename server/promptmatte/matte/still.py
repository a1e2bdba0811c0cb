"""The matte of one picture by itself: no motion, no time."""

from __future__ import annotations

from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import ModelError
from promptmatte.frame import Frame, Matte
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.luma import Luma
from promptmatte.matte.masks import masks_of, usable_confidence
from promptmatte.matte.shaping import finish_alpha, shape_mask
from promptmatte.models.protocol import Model, Scene
from promptmatte.prompts import PromptSet


def still_matte(
    model: Model,
    scene: Scene,
    frame: Frame,
    prompts: PromptSet,
    *,
    config: PipelineConfig,
    controls: Controls | None = None,
) -> Matte:
    """The matte of the rgb8 frame that the Scene was encoded from; ModelError if it is another.

    There is at least one prompt.
    """
    if scene.info != frame.info:
        raise ModelError(f"expected a Scene of frame {frame.info}; got one of {scene.info}")
    controls = controls or Controls()
    decoded = model.decode(scene, model.embed(prompts))
    confidence = usable_confidence(decoded)
    luma = Luma.of(frame, config.flow_side_px)
    masks = masks_of(decoded, luma.small.shape)
    own = controls.channels[: len(masks)]
    for mask, value, channel in zip(masks, confidence, own, strict=True):
        if value < channel.confidence_floor:
            mask[:] = 0
    detail = [channel.edge_detail for channel in own]
    alpha = EdgeRefiner().refine(shape_mask(masks, controls), luma, detail)
    return Matte(
        info=frame.info,
        alpha=finish_alpha(alpha, controls, len(confidence)),
        anchor_seq=frame.info.seq,
        age_ms=0.0,
        confidence=confidence,
        prompts_version=prompts.version,
    )
