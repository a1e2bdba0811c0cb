"""Masks of an anchor carried through a shot and corrected by what each frame shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent import futures
from concurrent.futures import Executor, Future
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

PRESSED_NS = 1_000_000_000
"""How long after a late frame there is no time for a correction in its frame."""

UNLIKE_LEVELS = 64
"""Mean difference of colour, of 255, from which two pixels are not alike at all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sight:
    """What is kept of a frame, as it may become an anchor."""

    seq: int
    picture: npt.NDArray[np.uint8]


@dataclass(kw_only=True, eq=False)
class _Anchor:
    """Masks found in a frame, and what they say about colours, once that is known."""

    sight: _Sight
    masks: Mask
    memory: tuple[Any, Any] | None = None
    odds: Sequence[ColourOdds] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """A frame's masks to correct. origins: of the frame, in the anchor's; before: the masks
    carried there from the frame before it, None without any; forgotten: those of them that are
    worth nothing."""

    sight: _Sight
    at_ns: int
    anchor: _Anchor
    origins: Field
    before: Mask | None
    forgotten: frozenset[int]
    wanted: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class _Corrected:
    """The last correction: when its frame was captured, of which prompts, how good."""

    at_ns: int
    wanted: tuple[bool, ...]
    quality: tuple[float, ...]


class MaskCorrector:
    """Carries an anchor's masks to each frame of a shot and corrects them there.

    The motion alone drags masks over what comes into view and loses what is fast or
    blurred. CorrectionNetwork weighs, for each pixel, the carried mask, the result of the
    frame before, the colours of the thing against those of the rest, how much the carried
    picture differs from what is seen, and where the places of the anchor are found again.
    A new anchor is therefore blended in, never popped. Used from one thread.

    rest_ns: frames that come sooner after the last correction only have its result carried on:
    the one step of motion errs little, and the network is most of a frame's work. Where frames
    came late or were passed over since, as when the processor is short, it is twice that. A new
    anchor is always corrected.
    beside: makes the corrections while frames go on, for PRESSED_NS after one that came late. A
    frame then has the masks of the last correction that was ready, carried to it, so that none
    waits for the network.
    """

    def __init__(
        self,
        engine: CorrectionEngine,
        *,
        history_frames: int,
        rest_ns: int = 0,
        beside: Executor | None = None,
    ) -> None:
        self.motion = Propagator(history_frames=history_frames)
        self._beside = beside
        self._under_way: tuple[_Task, Future[tuple[Mask, _Corrected]]] | None = None
        self._features: tuple[_Sight, Features] | None = None
        self._rest_ns = rest_ns
        self._engine = engine
        self._sights: deque[_Sight] = deque(maxlen=history_frames)
        self._kept: dict[int, _Sight] = {}
        self.reset()

    def reset(self) -> None:
        """Forgets every frame and the anchor; the next frame starts a new shot."""
        self._drop_task()
        self.motion.reset()
        self._sights.clear()
        self._kept.clear()
        self._anchor: _Anchor | None = None
        self._results: Mask | None = None
        self._forgotten: set[int] = set()
        self._features = None
        self._corrected: _Corrected | None = None
        self._due = False
        self._now_ns = 0
        self._pressed_ns: int | None = None
        self._hurried = False

    def advance(self, luma: Luma, *, late: bool = False) -> None:
        """Makes this the current frame. late: there is no time to spare for it."""
        passed_over = bool(self._sights) and luma.info.seq > self._sights[-1].seq + 1
        self._hurried |= late or passed_over
        self.motion.advance(luma)
        self._now_ns = luma.info.captured_ns
        if late or passed_over:
            self._pressed_ns = self._now_ns
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
        if self._results is not None and len(self._results) != len(masks):
            self._drop_task()
            self._results = None
        self._anchor, self._due = _Anchor(sight=self._sight(seq), masks=masks), True

    def masks(self, wanted: Sequence[bool]) -> tuple[Mask, tuple[float, ...]]:
        """The masks of the current frame, float32 [P, h, w], 0 to 1, and the overlap with the
        truth to expect of each.

        wanted: for each prompt whether its anchor's mask is worth something; where it is not
        the last result is carried on as it is, with an expected overlap of 1.
        """
        if self._anchor is None or not self._sights:
            raise ModelError("expected an anchor and a frame before masks are asked for")
        results, last = self._results, self._corrected
        if last is None or last.wanted != tuple(wanted) or results is None or self._forgotten:
            before = None if results is None else self._carried_on(results)
            return self._corrected_now(self._anchor, before, wanted)
        before, last = self._taken_up(results, last)
        rest_ns = self._rest_ns * (2 if self._hurried else 1)
        if not self._due and abs(self._now_ns - last.at_ns) < rest_ns:
            return before, last.quality
        if self._beside is None or not self._pressed():
            return self._corrected_now(self._anchor, before, wanted)
        if self._under_way is None:
            task = self._task(self._anchor, before, wanted)
            self._under_way = task, self._beside.submit(self._correct, task)
        return before, last.quality

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

    def _carried_on(self, results: Mask) -> Mask:
        """The last frame's results in the current one."""
        return carried(results, self.motion.previous_origins())

    def _taken_up(self, results: Mask, last: _Corrected) -> tuple[Mask, _Corrected]:
        """The masks of the last correction that is ready, carried to the current frame."""
        if self._under_way is not None and self._under_way[1].done():
            (task, future), self._under_way = self._under_way, None
            masks, corrected = future.result()
            if self.motion.holds(task.sight.seq):
                self._corrected = corrected
                return carried(masks, self.motion.origins(task.sight.seq)), corrected
        return self._carried_on(results), last

    def _pressed(self) -> bool:
        return self._pressed_ns is not None and abs(self._now_ns - self._pressed_ns) < PRESSED_NS

    def _corrected_now(
        self, anchor: _Anchor, before: Mask | None, wanted: Sequence[bool]
    ) -> tuple[Mask, tuple[float, ...]]:
        self._drop_task()
        masks, self._corrected = self._correct(self._task(anchor, before, wanted))
        return masks, self._corrected.quality

    def _drop_task(self) -> None:
        """What is under way is worth nothing. Waited for: the engine does one thing at a time."""
        if self._under_way is not None:
            futures.wait([self._under_way[1]])
            self._under_way = None

    def _task(self, anchor: _Anchor, before: Mask | None, wanted: Sequence[bool]) -> _Task:
        self._due = self._hurried = False
        return _Task(
            sight=self._sights[-1],
            at_ns=self._now_ns,
            anchor=anchor,
            origins=self.motion.origins(anchor.sight.seq),
            before=before,
            forgotten=frozenset(self._forgotten),
            wanted=tuple(wanted),
        )

    def _correct(self, task: _Task) -> tuple[Mask, _Corrected]:
        """The masks [P, h, w] of the task's frame, a new array."""
        anchor = task.anchor
        memory = self._remembered(anchor)
        held = carried(anchor.masks, task.origins)
        if task.before is None:
            masks = held.copy()
        else:
            masks = task.before.copy()
            for index in task.forgotten:
                masks[index] = held[index]
        quality = [1.0] * len(masks)
        which = [index for index, here in enumerate(task.wanted) if here]
        if which:
            evidence = _evidence(task, held, masks, which)
            masks[which], found = self._engine.correct(
                self._features_of(task.sight), memory, cells_of(task.origins), evidence, which
            )
            for index, value in zip(which, found.tolist(), strict=True):
                quality[index] = value
        return masks, _Corrected(at_ns=task.at_ns, wanted=task.wanted, quality=tuple(quality))

    def _remembered(self, anchor: _Anchor) -> tuple[Any, Any]:
        if anchor.memory is None:
            picture = anchor.sight.picture
            anchor.memory = self._engine.memory(self._features_of(anchor.sight), anchor.masks)
            anchor.odds = [ColourOdds(picture, mask) for mask in anchor.masks]
        return anchor.memory

    def _features_of(self, sight: _Sight) -> Features:
        if self._features is None or self._features[0] is not sight:
            self._features = sight, self._engine.features(sight.picture)
        return self._features[1]


def _evidence(task: _Task, held: Mask, before: Mask, which: Sequence[int]) -> Mask:
    """float32 [W, 4, h, w] for these prompts, see CorrectionNetwork.correct.

    The result before counts half: it has what was found on the way, but also what was
    lost, and alone it makes tracks drift and then jump with the next anchor.
    """
    picture, anchor = task.sight.picture, task.anchor
    colours = colour_index(picture)
    evidence = np.empty((len(which), 4, *held.shape[1:]), np.float32)
    evidence[:, 3] = colour_error(anchor.sight.picture, task.origins, picture)
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
