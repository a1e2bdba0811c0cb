"""Decides for one stream when to encode and when to decode, and makes its anchors of that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from promptmatte.clock import Clock
from promptmatte.counters import Counters
from promptmatte.errors import ModelError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.change import is_static
from promptmatte.matte.luma import thumbnail_of
from promptmatte.matte.stream import Anchor
from promptmatte.models.device import is_out_of_memory
from promptmatte.models.protocol import Decoded, Model, PromptEmbedding, Scene
from promptmatte.prompts import PromptSet
from promptmatte.slot import LatestSlot
from promptmatte.suggestions import Inquiry

logger = logging.getLogger(__name__)

T = TypeVar("T")

NOTHING = Decoded(logits=np.zeros((0, 1, 1), np.float32), confidence=())


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """A frame to encode for these prompts.

    periods_waited: since the encode before began, in periods of its stream; a period more where
    there is no Scene of the current shot.
    """

    frame: Frame
    prompts: PromptSet
    thumbnail: npt.NDArray[np.uint8]
    periods_waited: float


class KeyframeWorker:
    """Turns the latest frame and the prompts of one stream into anchors; the thread is another's.

    A frame is encoded when one is due (`encode_hz`) and its picture differs from the one
    encoded last, and at once when there is no Scene of the current shot. Prompts that
    changed are decoded on the Scene there is. `frames` takes the frames; `anchors` gives
    what was found. Without a model it waits for one.

    short_of_memory: told when the model ran out of memory twice running, the caches
    emptied in between. wake: told when there is something to look at.
    """

    def __init__(
        self,
        *,
        model: Model | None = None,
        encode_hz: float,
        clock: Clock,
        counters: Counters,
        short_of_memory: Callable[[], None] = lambda: None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.frames: LatestSlot[Frame] = LatestSlot(told=wake)
        self.anchors: LatestSlot[Anchor] = LatestSlot()
        self._model = self._given_model = model
        self._short_of_memory = short_of_memory
        self._memory_errors = 0
        self._inquiry: Inquiry | None = None
        self._period_ns = round(1e9 / encode_hz)
        self._clock = clock
        self._counters = counters
        self._prompts = PromptSet()
        self._required: FrameInfo | None = None
        self._refused: FrameInfo | None = None
        self._at: FrameInfo | None = None
        self._error: str | None = None
        self._frame: Frame | None = None
        self._scene: Scene | None = None
        self._thumbnail: npt.NDArray[np.uint8] | None = None
        self._embedding: PromptEmbedding | None = None
        self._embedded: PromptSet | None = None
        self._decoded: Decoded | None = None
        self._cleared_version = -1
        self._due_ns = 0
        self._began_ns: int | None = None
        self._retry_ns = 0
        self._passed_over = False
        self._hurried = False

    @property
    def at(self) -> FrameInfo | None:
        """The frame the next anchor will belong to, as far as it is known."""
        return self._at

    @property
    def error(self) -> str | None:
        """What the model last failed with; None once it works again."""
        return self._error

    def set_encode_hz(self, encode_hz: float) -> None:
        """Keyframes a second at most from now on; called from any thread."""
        self._period_ns = round(1e9 / encode_hz)
        self._due_ns = min(self._due_ns, self._clock.now_ns() + self._period_ns)

    def set_prompts(self, prompts: PromptSet) -> None:
        """Prompts to find from now on; called from any thread."""
        self._prompts = prompts
        self.frames.nudge()

    def set_model(self, model: Model | None) -> None:
        """The model to use from now on, if any; called from any thread.

        What the one before found stays until the new one has found something.
        """
        self._given_model = model
        self.frames.nudge()

    def ask(self, inquiry: Inquiry) -> None:
        """Answers an inquiry between keyframes, in place of one before; from any thread."""
        self._inquiry = inquiry
        self.frames.nudge()

    def require(self, info: FrameInfo) -> None:
        """Asks for a Scene of this frame or a later one, at once; called from any thread."""
        self._required = info
        self.frames.nudge()

    def refuse(self, info: FrameInfo) -> None:
        """Asks for another Scene than the one of this frame, at once; from any thread."""
        self._refused = info
        self.frames.nudge()

    def hurry(self) -> None:
        """Asks for a Scene before the next one is due, half a period at most; from any thread."""
        self._hurried = True

    @property
    def model(self) -> Model | None:
        """The model that its orders are for."""
        return self._model

    @property
    def asked(self) -> bool:
        """True while an inquiry has work for the model."""
        return self._inquiry is not None and None not in (self._frame, self._model)

    def look(self) -> Order | None:
        """What is to be encoded of the newest frame, if anything; decodes what only needs that."""
        self._frame = self.frames.take(0.0) or self._frame
        return self.order(self._frame) if self._frame is not None else None

    def consider(self, frame: Frame) -> None:
        """Encodes this newest frame and decodes the prompts, as far as either is called for."""
        order = self.order(frame)
        if order is not None:
            self.encode(order)

    def order(self, frame: Frame) -> Order | None:
        """What `consider` would encode; what needs no encode it does.

        What the model raises is kept as `error`; it is tried again a period later.
        """
        if self._given_model is not self._model:
            self._take_model(self._given_model)
        if self._model is None or self._clock.now_ns() < self._retry_ns:
            return None
        model, prompts = self._model, self._prompts
        return self._tried(model, lambda: self._turn(model, frame, prompts))

    def begin(self, order: Order) -> None:
        """The order is being carried out: `at` is its frame, and the next is due a period later."""
        now_ns = self._clock.now_ns()
        self._schedule(now_ns)
        self._began_ns = now_ns
        self._at = order.frame.info
        self._scene = self._decoded = None

    def encode(self, order: Order) -> None:
        """Carries the order out alone; errors as with `order`."""
        model = self._model
        if model is None:
            return
        self.begin(order)
        self._tried(model, lambda: self._finish(model, order, model.encode(order.frame)))

    def finish(self, order: Order, scene: Scene) -> None:
        """Makes an anchor of the Scene of an order that was begun; errors as with `order`."""
        model = self._model
        if model is None:
            return
        self._tried(model, lambda: self._finish(model, order, scene))

    def _tried(self, model: Model, action: Callable[[], T]) -> T | None:
        """What the action gives; None where the model raises something, which is kept as `error`
        and tried again a period later."""
        try:
            return action()
        except Exception as error:  # noqa: BLE001  a model may raise anything
            self._fail(model, error)
            return None

    def inquire(self, frame: Frame | None = None) -> None:
        """One step of the inquiry, if there is one, about this frame or else the newest; its
        error ends it, not the keyframes."""
        inquiry, model, frame = self._inquiry, self._model, frame or self._frame
        if inquiry is None or model is None or frame is None:
            return
        try:
            inquiry.step(model, inquiry.scene or self._scene or model.encode(frame))
        except Exception as error:  # noqa: BLE001  a model may raise anything
            inquiry.fail(f"{type(error).__name__}: {error}")
        if inquiry.done and self._inquiry is inquiry:
            self._inquiry = None

    def _take_model(self, model: Model | None) -> None:
        self._model = model
        self._scene = self._thumbnail = self._decoded = None
        self._embedding = self._embedded = None
        self._due_ns = self._retry_ns = self._memory_errors = 0
        self._error = None
        if self._inquiry is not None:
            self._inquiry.restart()

    def _turn(self, model: Model, frame: Frame, prompts: PromptSet) -> Order | None:
        """The encode that is called for, else at most one decode."""
        if not prompts.prompts:
            self._clear(frame, prompts)
            return None
        changed = self._embedded != prompts
        scene = self._scene
        now_ns = self._clock.now_ns()
        due = now_ns >= self._due_ns - (self._period_ns // 2 if self._hurried else 0)
        if scene is None or not self._is_current(scene.info):
            return self._ordered(frame, prompts, thumbnail_of(frame), now_ns, urgent=True)
        if changed and not (due and self._passed_over):
            self._passed_over = due  # once: prompts that change all the time must not stop encodes
        elif due:
            thumbnail = thumbnail_of(frame)
            if not self._is_static(frame, thumbnail, scene):
                return self._ordered(frame, prompts, thumbnail, now_ns)
            self._schedule(now_ns)
            self._at = frame.info
        elif self._decoded is not None:
            return None
        self._post(self._decode(model, scene, prompts), scene, prompts)
        self._works(model)
        return None

    def _ordered(
        self,
        frame: Frame,
        prompts: PromptSet,
        thumbnail: npt.NDArray[np.uint8],
        now_ns: int,
        *,
        urgent: bool = False,
    ) -> Order:
        if self._began_ns is None:  # the first one waits from now on
            self._began_ns = now_ns - self._period_ns
        waited = (now_ns - self._began_ns) / self._period_ns + urgent
        return Order(frame=frame, prompts=prompts, thumbnail=thumbnail, periods_waited=waited)

    def _is_current(self, info: FrameInfo) -> bool:
        required = self._required
        if info == self._refused or required is None:
            return info != self._refused
        return info.stream_id == required.stream_id and info.seq >= required.seq

    def _clear(self, frame: Frame, prompts: PromptSet) -> None:
        """Without prompts nothing is encoded; a Scene kept meanwhile would be an old one."""
        self._scene = self._embedded = self._decoded = None
        if self._cleared_version != prompts.version:
            self._cleared_version = prompts.version
            self.anchors.put(
                Anchor(info=frame.info, at=frame.info, decoded=NOTHING, prompts=prompts)
            )

    def _is_static(self, frame: Frame, thumbnail: npt.NDArray[np.uint8], scene: Scene) -> bool:
        """True when the picture of the Scene has not changed."""
        return (
            self._thumbnail is not None
            and scene.size_hw == frame.size_hw
            and is_static(thumbnail, self._thumbnail)
        )

    def _finish(self, model: Model, order: Order, scene: Scene) -> None:
        self._counters.encode(self._clock.now_ns())
        self._scene, self._thumbnail = scene, order.thumbnail
        self._post(self._decode(model, scene, order.prompts), scene, order.prompts)
        self._works(model)

    def _schedule(self, now_ns: int) -> None:
        late_ns = now_ns - self._due_ns
        start_ns = self._due_ns if 0 <= late_ns < self._period_ns else now_ns
        self._hurried = False
        self._due_ns = start_ns + self._period_ns
        self._passed_over = False

    def _decode(self, model: Model, scene: Scene, prompts: PromptSet) -> Decoded:
        if self._embedding is None or self._embedded != prompts:
            self._embedded = self._decoded = None
            self._embedding = model.embed(prompts)
            self._embedded = prompts
        if self._decoded is None:
            decoded = model.decode(scene, self._embedding)
            _check(decoded, prompts)
            self._decoded = decoded
            self._counters.decode()
        return self._decoded

    def _post(self, decoded: Decoded, scene: Scene, prompts: PromptSet) -> None:
        self._cleared_version = -1
        at = self._at or scene.info
        self.anchors.put(Anchor(info=scene.info, at=at, decoded=decoded, prompts=prompts))

    def _works(self, model: Model) -> None:
        self._memory_errors = 0
        if self._error is not None:
            logger.info("model %s works again", model.name)
            self._error = None

    def _fail(self, model: Model, error: Exception) -> None:
        self._retry_ns = self._clock.now_ns() + self._period_ns
        message = f"{type(error).__name__}: {error}"
        if message != self._error:
            logger.warning("model %s failed: %s", model.name, message)
            self._error = message
        if is_out_of_memory(error):
            self._scene = None
            self._memory_errors += 1
            if self._memory_errors > 1:
                self._short_of_memory()
            elif torch.cuda.is_available():
                torch.cuda.empty_cache()


def _check(decoded: Decoded, prompts: PromptSet) -> None:
    """ModelError unless there is a finite plane of logits and a confidence a prompt."""
    count = len(prompts.prompts)
    logits = decoded.logits
    if logits.ndim != 3 or len(logits) != count or len(decoded.confidence) != count:
        raise ModelError(
            f"expected logits [{count}, h, w] and {count} confidences; "
            f"got {logits.shape} and {len(decoded.confidence)}"
        )
    if not np.isfinite(logits).all():
        raise ModelError("expected finite logits; got NaN or infinite ones")
