"""A matte for every frame of one stream, from masks that arrive now and then and late."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.config import PipelineConfig
from promptmatte.frame import Frame, FrameInfo, Matte
from promptmatte.matte.change import is_cut
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.luma import Luma
from promptmatte.matte.propagation import Propagator
from promptmatte.models.protocol import Decoded
from promptmatte.prompts import PromptSet


@dataclass(frozen=True, kw_only=True, eq=False)
class Anchor:
    """What a model found in one frame. info: the frame encoded; at: the frame whose
    picture it fits, a later one when the picture has not changed since."""

    info: FrameInfo
    at: FrameInfo
    decoded: Decoded
    prompts: PromptSet


class MatteStream:
    """The matte of one stream through time; used from one thread.

    An anchor's mask is carried along the motion to each frame and fitted to its edges.
    A frame that does not follow the last one (another stream, size or scene, a seq that
    runs backwards) starts a new shot, in which older anchors are worth nothing.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self._config = config
        self._propagator = Propagator(history_frames=config.history_frames)
        self._edges = EdgeRefiner()
        self.reset()

    def reset(self) -> None:
        """Forgets frames, anchors and prompts."""
        self._propagator.reset()
        self._luma: Luma | None = None
        self._shot_start: FrameInfo | None = None
        self._held: FrameInfo | None = None
        self._pending: Anchor | None = None
        self._anchor: Anchor | None = None
        self._cleared: PromptSet | None = None
        self._mask = np.zeros((0, 0, 0), np.float32)
        self._confidence: tuple[float, ...] = ()

    @property
    def shot_start(self) -> FrameInfo | None:
        """The first frame of the current shot: anchors from before it cannot be used."""
        return self._shot_start

    def hold(self, info: FrameInfo) -> None:
        """Keeps the motion from this frame to now, however late its anchor comes.

        Takes the place of the frame held before. It works for one of the last
        `history_frames` frames.
        """
        self._held = info

    def anchor(
        self,
        info: FrameInfo,
        decoded: Decoded,
        prompts: PromptSet,
        *,
        at: FrameInfo | None = None,
    ) -> bool:
        """Takes what a model found in frame `info` as the mask to go on from.

        at: a later frame with the same picture, if there is one. That frame is one that
        was stepped, or the one to be stepped next. False when the way from it to the
        current frame is not known: the old anchor stays and a newer frame must be encoded.
        An empty PromptSet is always taken and gives empty mattes.
        """
        if not prompts.prompts:
            self._cleared, self._anchor, self._pending = prompts, None, None
            return True
        anchor = Anchor(info=info, at=at or info, decoded=decoded, prompts=prompts)
        if self._holds(anchor.at):
            self._use(anchor)
            return True
        if self._luma is not None and _before(anchor.at, self._luma.info):
            return False
        self._pending = anchor
        return True

    def step(self, frame: Frame) -> Matte | None:
        """The matte of this rgb8 frame, under its identity; None while there is no anchor."""
        luma = Luma.of(frame, self._config.flow_side_px)
        if self._luma is None or self._is_new_shot(luma, self._luma):
            self._propagator.reset()
            self._anchor = None
            self._shot_start = frame.info
        self._luma = luma
        self._propagator.advance(luma)
        if self._pending is not None and self._holds(self._pending.at):
            self._use(self._pending)
        self._pending = None
        self._keep()
        if self._anchor is not None:
            return self._carried(frame, luma, self._anchor)
        if self._cleared is not None:
            return _empty_matte(frame, self._cleared)
        return None

    def _is_new_shot(self, luma: Luma, last: Luma) -> bool:
        return not self._propagator.continues(luma) or is_cut(luma.thumbnail, last.thumbnail)

    def _holds(self, info: FrameInfo) -> bool:
        return (
            self._luma is not None
            and self._luma.info.stream_id == info.stream_id
            and self._propagator.holds(info.seq)
        )

    def _keep(self) -> None:
        wanted = [self._anchor.at if self._anchor else None, self._held]
        self._propagator.keep(info.seq for info in wanted if info and self._holds(info))

    def _use(self, anchor: Anchor) -> None:
        self._anchor, self._cleared, self._pending = anchor, None, None
        self._confidence = tuple(_usable(value) for value in anchor.decoded.confidence)
        height, width = self._propagator.size_hw
        self._mask = np.zeros((len(self._confidence), height, width), np.float32)
        for channel, confidence in enumerate(self._confidence):
            if confidence >= self._config.confidence_floor:
                logits = cv2.resize(anchor.decoded.logits[channel], (width, height))
                self._mask[channel] = _sigmoid(logits)
        self._keep()

    def _carried(self, frame: Frame, luma: Luma, anchor: Anchor) -> Matte:
        mask = self._propagator.carry(self._mask, anchor.at.seq)
        age_ns = frame.info.captured_ns - anchor.info.captured_ns
        return Matte(
            info=frame.info,
            alpha=self._edges.refine(mask, luma),
            anchor_seq=anchor.info.seq,
            age_ms=max(0.0, age_ns / 1e6),
            confidence=self._confidence,
            prompts_version=anchor.prompts.version,
        )


def _empty_matte(frame: Frame, prompts: PromptSet) -> Matte:
    return Matte(
        info=frame.info,
        alpha=np.zeros((*frame.size_hw, 1), np.uint8),
        anchor_seq=-1,
        age_ms=0.0,
        confidence=(),
        prompts_version=prompts.version,
    )


def _before(info: FrameInfo, other: FrameInfo) -> bool:
    return info.stream_id == other.stream_id and info.seq <= other.seq


def _usable(confidence: float) -> float:
    return min(1.0, max(0.0, confidence)) if math.isfinite(confidence) else 0.0


def _sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.floating[Any]]:
    odds = np.exp(np.clip(logits, -30.0, 30.0))
    return odds / (1.0 + odds)
