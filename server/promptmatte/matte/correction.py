"""Masks of an anchor carried through a shot and corrected by what each frame shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import ModelError
from promptmatte.matte.colour_odds import ColourOdds, colour_index
from promptmatte.matte.correction_engine import CorrectionEngine, Features
from promptmatte.matte.correction_network import STRIDE
from promptmatte.matte.luma import Luma
from promptmatte.matte.propagation import Field, Propagator, carried

Mask = npt.NDArray[np.float32]
UNLIKE_LEVELS = 64
"""Mean difference of colour, of 255, from which two pixels are not alike at all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sight:
    """What is kept of a frame, as it may become an anchor."""

    seq: int
    picture: npt.NDArray[np.uint8]


@dataclass(kw_only=True, eq=False)
class _Anchor:
    """Masks found in a frame, and what they say about colours."""

    sight: _Sight
    masks: Mask
    memory: tuple[Any, Any]
    odds: list[ColourOdds]


@dataclass(frozen=True, kw_only=True)
class _Corrected:
    """The last correction: when its frame was captured, of which prompts, how good."""

    at_ns: int
    wanted: tuple[bool, ...]
    quality: tuple[float, ...]

    def stands(self, wanted: Sequence[bool], now_ns: int, rest_ns: int) -> bool:
        """True while its result need only be carried on: less than rest_ns, to either side."""
        return abs(now_ns - self.at_ns) < rest_ns and self.wanted == tuple(wanted)


class MaskCorrector:
    """Carries an anchor's masks to each frame of a shot and corrects them there.

    The motion alone drags masks over what comes into view and loses what is fast or
    blurred. CorrectionNetwork weighs, for each pixel, the carried mask, the result of the
    frame before, the colours of the thing against those of the rest, how much the carried
    picture differs from what is seen, and where the places of the anchor are found again.
    A new anchor is therefore blended in, never popped. Used from one thread.

    rest_ns: frames that come sooner after the last correction only have its result carried on:
    the one step of motion errs little, and the network is most of a frame's work. Where frames
    were passed over since, as when the processor is short, it is twice that. A new anchor is
    always corrected.
    """

    def __init__(
        self,
        engine: CorrectionEngine,
        *,
        history_frames: int,
        rest_ns: int = 0,
    ) -> None:
        self.motion = Propagator(history_frames=history_frames)
        self._rest_ns = rest_ns
        self._engine = engine
        self._sights: deque[_Sight] = deque(maxlen=history_frames)
        self._kept: dict[int, _Sight] = {}
        self.reset()

    def reset(self) -> None:
        """Forgets every frame and the anchor; the next frame starts a new shot."""
        self.motion.reset()
        self._sights.clear()
        self._kept.clear()
        self._anchor: _Anchor | None = None
        self._results: Mask | None = None
        self._forgotten: set[int] = set()
        self._features: Features | None = None
        self._corrected: _Corrected | None = None
        self._passed_over = False

    def advance(self, luma: Luma) -> None:
        """Makes this the current frame."""
        self._passed_over |= bool(self._sights) and luma.info.seq > self._sights[-1].seq + 1
        self.motion.advance(luma)
        self._features = None
        self._now_ns = luma.info.captured_ns
        self._sights.append(_Sight(seq=luma.info.seq, picture=luma.small_rgb))

    def holds(self, seq: int) -> bool:
        """True when frame `seq` can become the anchor."""
        return self.motion.holds(seq)

    def keep(self, seqs: Iterable[int]) -> None:
        """Holds on to these frames, if they are held, and lets go of those kept before."""
        wanted = {seq for seq in seqs if self.holds(seq)}
        self._kept = {seq: self._sight(seq) for seq in wanted}
        self.motion.keep(wanted)

    def anchor(self, seq: int, masks: Mask) -> None:
        """Takes masks float32 [P, h, w], 0 to 1, of the held frame `seq` to go on from."""
        sight = self._sight(seq)
        if self._results is not None and len(self._results) != len(masks):
            self._results = None
        seen = sight is self._sights[-1]
        features = self._seen() if seen else self._engine.features(sight.picture)
        self._corrected = None
        self._anchor = _Anchor(
            sight=sight,
            masks=masks,
            memory=self._engine.memory(features, masks),
            odds=[ColourOdds(sight.picture, mask) for mask in masks],
        )

    def masks(self, wanted: Sequence[bool]) -> tuple[Mask, tuple[float, ...]]:
        """The masks of the current frame, float32 [P, h, w], 0 to 1, and the overlap with the
        truth to expect of each.

        wanted: for each prompt whether its anchor's mask is worth something; where it is not
        the last result is carried on as it is, with an expected overlap of 1.
        """
        anchor, last = self._anchor, self._corrected
        if anchor is None or not self._sights:
            raise ModelError("expected an anchor and a frame before masks are asked for")
        rest_ns = self._rest_ns * (2 if self._passed_over else 1)
        if last is not None and last.stands(wanted, self._now_ns, rest_ns):
            assert self._results is not None
            return carried(self._results, self.motion.previous_origins()), last.quality
        origins = self.motion.origins(anchor.sight.seq)
        held = carried(anchor.masks, origins)
        if self._results is None:
            masks = held.copy()
        else:
            masks = carried(self._results, self.motion.previous_origins())
            for index in self._forgotten:
                masks[index] = held[index]
        quality = [1.0] * len(masks)
        if any(wanted):
            which = [index for index, here in enumerate(wanted) if here]
            evidence = self._evidence(anchor, origins, held, masks, which)
            masks[which], found = self._engine.correct(
                self._seen(), anchor.memory, cells_of(origins), evidence, which
            )
            for index, value in zip(which, found.tolist(), strict=True):
                quality[index] = value
        self._passed_over = False
        self._corrected = _Corrected(
            at_ns=self._now_ns, wanted=tuple(wanted), quality=tuple(quality)
        )
        return masks, tuple(quality)

    def settle(self, results: Mask) -> None:
        """What was made of the masks: the results that the next frame goes on from."""
        self._results = results
        self._forgotten.clear()

    def forget_result(self, index: int) -> None:
        """Lets the prompt of this index start from its anchor's mask alone."""
        self._forgotten.add(index)
        self._corrected = None

    def _sight(self, seq: int) -> _Sight:
        if seq in self._kept:
            return self._kept[seq]
        return next(sight for sight in self._sights if sight.seq == seq)

    def _seen(self) -> Features:
        """What there is to know of the current frame."""
        if self._features is None:
            self._features = self._engine.features(self._sights[-1].picture)
        return self._features

    def _evidence(
        self, anchor: _Anchor, origins: Field, held: Mask, before: Mask, which: Sequence[int]
    ) -> Mask:
        """float32 [W, 4, h, w] for these prompts, see CorrectionNetwork.correct.

        The result before counts half: it has what was found on the way, but also what was
        lost, and alone it makes tracks drift and then jump with the next anchor.
        """
        picture = self._sights[-1].picture
        colours = colour_index(picture)
        evidence = np.empty((len(which), 4, *held.shape[1:]), np.float32)
        evidence[:, 3] = colour_error(anchor.sight.picture, origins, picture)
        for planes, index in zip(evidence, which, strict=True):
            np.multiply(held[index], 2, out=planes[0])
            np.add(before[index], held[index], out=planes[1])
            planes[2] = anchor.odds[index].of(colours)
        evidence[:, :2] -= 1
        return evidence


def colour_error(
    anchor: npt.NDArray[np.uint8], origins: Field, picture: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """How unlike the anchor's carried picture is to the one seen: [h, w], 0 to 1."""
    held = cv2.remap(anchor, origins, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    levels = cv2.absdiff(held, picture).reshape(-1, 3)
    error = cv2.reduce(levels, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F)
    error *= 1 / (3 * UNLIKE_LEVELS)
    np.minimum(error, 1, out=error)
    unlike: npt.NDArray[np.float32] = error.reshape(picture.shape[:2])
    return unlike


def cells_of(origins: Field) -> npt.NDArray[np.float32]:
    """Origins [h, w, 2] in pixels as the mean place of each cell, [2, h/8, w/8], in cells."""
    height, width = origins.shape[:2]
    size_wh = (width // STRIDE, height // STRIDE)
    places = cv2.resize(origins, size_wh, interpolation=cv2.INTER_AREA)
    places = (places - (STRIDE - 1) / 2) / STRIDE
    return np.ascontiguousarray(places.transpose(2, 0, 1), np.float32)
