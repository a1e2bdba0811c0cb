"""Recordings matted off line as well as can be: from both sides, with solved edges and the
thing's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.frame import Frame, Matte
from promptmatte.matte.change import is_cut
from promptmatte.matte.closed_form import closed_form_alpha
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.foreground import foreground_colours
from promptmatte.matte.luma import Luma
from promptmatte.matte.masks import masks_of, usable_confidence, widest
from promptmatte.matte.shaping import finish_alpha, shape_mask
from promptmatte.matte.two_way import TwoWayMasks
from promptmatte.models.protocol import Model, PromptEmbedding
from promptmatte.prompts import PromptSet

Alpha = npt.NDArray[np.uint8]

LONGEST_PART = 24
"""Frames from keyframe to keyframe at most: that many are in memory."""

UNKNOWN_PX = 6
"""How far beyond the soft edge alpha is solved for, in pixels of a picture 540 lines high."""


def best_mattes(
    frames: Iterable[Frame],
    *,
    model: Model,
    prompts: PromptSet,
    config: PipelineConfig,
    controls: Controls,
    keyframe_every: int,
) -> Iterator[tuple[Frame, Matte]]:
    """Every rgb8 frame, with the thing's own colours for its pixels, and its matte.

    The first and last frame of each shot are keyframes, and every `keyframe_every`-th
    between them (at most LONGEST_PART). Masks are carried to the frames between from both
    (TwoWayMasks), fitted to their edges (EdgeRefiner) and solved there (closed_form_alpha).
    """
    finder = _Finder(model, model.embed(prompts), controls)
    two_way, edges = TwoWayMasks(history_frames=config.history_frames), EdgeRefiner()
    for part, goes_on in _parts(frames, config.flow_side_px, min(keyframe_every, LONGEST_PART)):
        first, last = finder.found(*part[0]), finder.found(*part[-1])
        masks = two_way.between([luma for _, luma in part], first.masks, last.masks)
        shown = len(part) - 1 if goes_on else len(part)
        for (frame, luma), mask in zip(part[:shown], masks[:shown], strict=True):
            alpha = _solved(edges, mask, luma, controls)
            colours = foreground_colours(luma.pixels, widest(alpha))
            matte = Matte(
                info=frame.info,
                alpha=alpha,
                anchor_seq=first.seq,
                age_ms=0.0,
                confidence=tuple(map(max, first.confidence, last.confidence)),
                prompts_version=prompts.version,
            )
            yield replace(frame, pixels=colours), matte


@dataclass(frozen=True, kw_only=True, eq=False)
class _Keyframe:
    """What the model found in a frame: masks at the small size, those of absent things 0."""

    seq: int
    masks: npt.NDArray[np.float32]
    confidence: tuple[float, ...]


class _Finder:
    """The model on keyframes; the last one is kept, as the next part starts with it."""

    def __init__(self, model: Model, embedding: PromptEmbedding, controls: Controls) -> None:
        self._model = model
        self._embedding = embedding
        self._controls = controls
        self._last: _Keyframe | None = None

    def found(self, frame: Frame, luma: Luma) -> _Keyframe:
        """What is in this frame, luma its own."""
        if self._last is None or self._last.seq != frame.info.seq:
            decoded = self._model.decode(self._model.encode(frame), self._embedding)
            confidence = usable_confidence(decoded)
            masks = masks_of(decoded, luma.small.shape)
            floors = [c.confidence_floor for c in self._controls.channels[: len(masks)]]
            masks[np.less(confidence, floors)] = 0
            self._last = _Keyframe(seq=frame.info.seq, masks=masks, confidence=confidence)
        return self._last


def _parts(
    frames: Iterable[Frame], side_px: int, keyframe_every: int
) -> Iterator[tuple[list[tuple[Frame, Luma]], bool]]:
    """Frames from keyframe to keyframe, both with them, all of one shot; True when the next
    part starts with the last one again."""
    part: list[tuple[Frame, Luma]] = []
    for frame in frames:
        luma = Luma.of(frame, side_px)
        if part and not _follows(luma, part[-1][1]):
            yield part, False
            part = []
        part.append((frame, luma))
        if len(part) > keyframe_every:
            yield part, True
            part = part[-1:]
    if part:
        yield part, False


def _follows(luma: Luma, last: Luma) -> bool:
    return luma.size_hw == last.size_hw and not is_cut(luma.thumbnail, last.thumbnail)


def _solved(
    edges: EdgeRefiner, masks: npt.NDArray[np.float32], luma: Luma, controls: Controls
) -> Alpha:
    """The finished alpha uint8 [H, W, C] of one frame."""
    detail = [c.edge_detail for c in controls.channels[: len(masks)]]
    alpha = edges.refine(shape_mask(masks, controls), luma, detail)
    for channel in range(len(masks)):
        plane = np.ascontiguousarray(alpha[..., channel])
        alpha[..., channel] = closed_form_alpha(luma.pixels, plane, about_edge(plane))
    return finish_alpha(alpha, controls, len(masks))


def about_edge(alpha: Alpha) -> npt.NDArray[np.bool_]:
    """Where alpha is soft or steps, and UNKNOWN_PX about that: [H, W]."""
    step = cv2.morphologyEx(alpha, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    soft = cv2.bitwise_or(step, cv2.inRange(alpha, 1, 254))
    side = 2 * round(UNKNOWN_PX * len(alpha) / 540) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(soft, disc) > 0)
