"""A matte for every frame of one stream, from masks that arrive now and then and late."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.frame import Frame, FrameInfo, Matte
from promptmatte.matte.change import is_blind, is_cut
from promptmatte.matte.correction import MaskCorrector
from promptmatte.matte.correction_engine import load_correction
from promptmatte.matte.draft import Draft
from promptmatte.matte.luma import Luma
from promptmatte.matte.masks import masks_of, usable_confidence
from promptmatte.matte.presence import Presence
from promptmatte.matte.steadying import Steadier
from promptmatte.models.protocol import Decoded
from promptmatte.prompts import PromptSet

Mask = npt.NDArray[np.float32]

LOST_QUALITY = 0.4
"""Expected overlap under which an early keyframe is asked for and the matte fades."""

LOST_SHARE = 0.1
"""Share of its area in the anchor under which a thing counts as lost."""

GONE_QUALITY = 0.15
"""Expected overlap at which nothing of the matte is left."""

NO_MASKS: Mask = np.zeros((0, 0, 0), np.float32)
NO_LEVELS = np.zeros(0, np.float64)

MAX_PENDING = 4
"""Anchors of frames to come: as many as frames can be waiting, and one."""


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

    An anchor's masks are carried along the motion to each frame, corrected there, steadied
    in time, and then, as a Draft, shaped by the controls and fitted to the frame's edges. A
    frame that does not follow the last one (another stream, size or scene, a seq that runs
    backwards) starts a new shot, in which older anchors are worth nothing.
    """

    def __init__(
        self, config: PipelineConfig, *, device: str = "cpu", beside: Executor | None = None
    ) -> None:
        """beside: makes corrections while frames go on, see MaskCorrector."""
        self._config = config
        self._corrector = MaskCorrector(
            load_correction(device=device),
            history_frames=config.history_frames,
            rest_ns=round(1e9 / config.correction_hz),
            beside=beside,
        )
        self._presence = Presence()
        self._steadier = Steadier()
        self._controls = Controls()
        self.reset()

    def reset(self) -> None:
        """Forgets frames, anchors and prompts; the controls stay."""
        self.forget_shot()
        self._held: FrameInfo | None = None
        self._cleared: PromptSet | None = None
        self._confidence: tuple[float, ...] = ()

    def forget_shot(self) -> None:
        """Forgets frames and anchors: the next frame starts a new shot. For when a frame failed,
        as what it left behind may be of no use."""
        self._start_shot()
        self._luma: Luma | None = None
        self._shot_start: FrameInfo | None = None
        self._pending: list[Anchor] = []

    def set_controls(self, controls: Controls) -> None:
        """How mattes are to look from the next frame on."""
        self._controls = controls

    @property
    def shot_start(self) -> FrameInfo | None:
        """The first frame of the current shot: anchors from before it cannot be used."""
        return self._shot_start

    @property
    def lost(self) -> bool:
        """True when a thing that was found can no longer be followed: an early keyframe is
        needed. False again with the next anchor."""
        return self._lost

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
        was stepped, or one that is still to be stepped. False when the way from it to the
        current frame is not known: the old anchor stays and a newer frame must be encoded.
        An empty PromptSet is always taken and gives empty mattes.
        """
        if not prompts.prompts:
            self._drop_anchor()
            self._cleared, self._pending = prompts, []
            return True
        anchor = Anchor(info=info, at=at or info, decoded=decoded, prompts=prompts)
        if self._holds(anchor.at):
            self._use(anchor)
            return True
        if self._luma is not None and _before(anchor.at, self._luma.info):
            return False
        self._pending = [*self._pending[1 - MAX_PENDING :], anchor]
        return True

    def step(self, frame: Frame) -> Matte | None:
        """The matte of this rgb8 frame, under its identity; None while there is no anchor."""
        draft = self.follow(frame)
        return draft.matte() if draft is not None else None

    def follow(self, frame: Frame, *, late: bool = False) -> Draft | None:
        """`step` without the drawing of the edges, which another thread can do meanwhile.

        late: the frame has waited for the one before it, so that what can be spared, is.
        """
        luma = Luma.of(frame, self._config.flow_side_px)
        if is_blind(luma.thumbnail) and self._follows(luma):
            return self._blind_draft(frame, luma)
        if self._luma is None or self._is_new_shot(luma, self._luma):
            self._start_shot()
            self._shot_start = frame.info
        self._luma = luma
        self._corrector.advance(luma, late=late)
        self._use_pending()
        self._keep()
        if self._anchor is not None:
            return self._draft(frame, luma, self._anchor)
        return self._empty(frame, luma)

    def _start_shot(self) -> None:
        self._corrector.reset()
        self._drop_anchor()

    def _drop_anchor(self) -> None:
        self._presence.reset()
        self._steadier.reset()
        self._anchor: Anchor | None = None
        self._found: tuple[bool, ...] = ()
        self._trust: list[float] = []
        self._least: list[float] = []
        self._shown = NO_MASKS
        self._lost = False

    def _follows(self, luma: Luma) -> bool:
        return self._luma is not None and self._corrector.motion.continues(luma)

    def _is_new_shot(self, luma: Luma, last: Luma) -> bool:
        return not self._follows(luma) or is_cut(luma.thumbnail, last.thumbnail)

    def _holds(self, info: FrameInfo) -> bool:
        return (
            self._luma is not None
            and self._luma.info.stream_id == info.stream_id
            and self._corrector.holds(info.seq)
        )

    def _keep(self) -> None:
        wanted = [self._anchor.at if self._anchor else None, self._held]
        self._corrector.keep(info.seq for info in wanted if info and self._holds(info))

    def _use_pending(self) -> None:
        """Takes the anchors whose frame has come; drops those of frames that never will."""
        assert self._luma is not None
        for anchor in self._pending:
            if self._holds(anchor.at):
                self._use(anchor)
        now = self._luma.info
        self._pending = [anchor for anchor in self._pending if not _before(anchor.at, now)]

    def _use(self, anchor: Anchor) -> None:
        if self._anchor is None or self._anchor.prompts.version != anchor.prompts.version:
            self._drop_anchor()
        self._anchor, self._cleared = anchor, None
        self._lost = False
        self._confidence = usable_confidence(anchor.decoded)
        masks = masks_of(anchor.decoded, self._corrector.motion.size_hw)
        self._least = [LOST_SHARE * float(mask.mean()) for mask in masks]
        self._corrector.anchor(anchor.at.seq, masks)
        self._steadier.anchor()
        self._keep()

    def _start_again(self, found: tuple[bool, ...]) -> None:
        """What was shown of a thing before it is found, or found again, is worth nothing."""
        for index, here in enumerate(found):
            if here and not (index < len(self._found) and self._found[index]):
                self._corrector.forget_result(index)
        self._found = found

    def _draft(self, frame: Frame, luma: Luma, anchor: Anchor) -> Draft:
        gains = self._gains(frame)
        self._start_again(self._presence.found)
        masks, quality = self._corrector.masks(self._found)
        for index, found in enumerate(self._found):
            if not found:
                masks[index] *= gains[index] > 0
            elif quality[index] < LOST_QUALITY or masks[index].mean() < self._least[index]:
                self._lost = True
        self._corrector.settle(masks)
        self._trust = [_trust(value) for value in quality]
        smoothing = [c.temporal_smoothing for c in self._controls.channels[: len(masks)]]
        way = self._corrector.motion.previous_origins()
        self._shown = self._steadier.steadied(masks, way, smoothing)
        return self._drafted(frame, luma, anchor, gains)

    def _blind_draft(self, frame: Frame, luma: Luma) -> Draft | None:
        """While nothing can be seen the masks stay; the shot goes on from the last frame that
        was seen."""
        if self._anchor is not None and len(self._shown):
            return self._drafted(frame, luma, self._anchor, self._gains(frame))
        return self._empty(frame, luma)

    def _gains(self, frame: Frame) -> tuple[float, ...]:
        time_ns = frame.info.captured_ns
        return self._presence.gains(self._confidence, self._controls, time_ns)

    def _drafted(self, frame: Frame, luma: Luma, anchor: Anchor, gains: tuple[float, ...]) -> Draft:
        age_ns = frame.info.captured_ns - anchor.info.captured_ns
        return Draft(
            frame=frame,
            luma=luma,
            masks=self._shown,
            levels=np.multiply(gains, self._trust),
            controls=self._controls,
            prompts=anchor.prompts,
            confidence=self._confidence,
            anchor_seq=anchor.info.seq,
            age_ms=max(0.0, age_ns / 1e6),
        )

    def _empty(self, frame: Frame, luma: Luma) -> Draft | None:
        """While there are no prompts nothing is found; None while there may be some."""
        if self._cleared is None:
            return None
        return Draft(
            frame=frame,
            luma=luma,
            masks=NO_MASKS,
            levels=NO_LEVELS,
            controls=self._controls,
            prompts=self._cleared,
        )


def _trust(quality: float) -> float:
    """1 while the overlap to expect is good, falling to 0."""
    return min(1.0, max(0.0, (quality - GONE_QUALITY) / (LOST_QUALITY - GONE_QUALITY)))


def _before(info: FrameInfo, other: FrameInfo) -> bool:
    return info.stream_id == other.stream_id and info.seq <= other.seq
