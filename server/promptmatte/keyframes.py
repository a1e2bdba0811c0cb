"""Decides when to encode and when to decode, and does it: the only user of the model."""

from __future__ import annotations

import logging
from collections.abc import Callable

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

IDLE_S = 0.25

NOTHING = Decoded(logits=np.zeros((0, 1, 1), np.float32), confidence=())


class KeyframeWorker:
    """Turns the latest frame and the prompts into anchors, on a thread of its own.

    A frame is encoded when one is due (`encode_hz`) and its picture differs from the one
    encoded last, and at once when there is no Scene of the current shot. Prompts that
    changed are decoded on the Scene there is. `frames` takes the frames; `anchors` gives
    what was found. Without a model it waits for one.

    short_of_memory: told when the model ran out of memory twice running, the caches
    emptied in between.
    """

    def __init__(
        self,
        *,
        model: Model | None = None,
        encode_hz: float,
        clock: Clock,
        counters: Counters,
        short_of_memory: Callable[[], None] = lambda: None,
    ) -> None:
        self.frames: LatestSlot[Frame] = LatestSlot()
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

    def run(self) -> None:
        """Until `frames` is closed."""
        while not self.frames.closed:
            asked = self._inquiry is not None and None not in (self._frame, self._model)
            self._frame = self.frames.take(0.0 if asked else IDLE_S) or self._frame
            if self._frame is not None:
                self.consider(self._frame)
                self.inquire(self._frame)

    def consider(self, frame: Frame) -> None:
        """Encodes this newest frame and decodes the prompts, as far as either is called for.

        What the model raises is kept as `error`; it is tried again a period later.
        """
        if self._given_model is not self._model:
            self._take_model(self._given_model)
        if self._model is None or self._clock.now_ns() < self._retry_ns:
            return
        try:
            self._turn(self._model, frame, self._prompts)
        except Exception as error:  # noqa: BLE001  a model may raise anything
            self._fail(self._model, error)

    def inquire(self, frame: Frame) -> None:
        """One step of the inquiry, if there is one; its error ends it, not the keyframes."""
        inquiry, model = self._inquiry, self._model
        if inquiry is None or model is None:
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

    def _turn(self, model: Model, frame: Frame, prompts: PromptSet) -> None:
        """At most one encode and one decode."""
        if not prompts.prompts:
            self._clear(frame, prompts)
            return
        changed = self._embedded != prompts
        scene = self._scene
        now_ns = self._clock.now_ns()
        due = now_ns >= self._due_ns - (self._period_ns // 2 if self._hurried else 0)
        if scene is None or not self._is_current(scene.info):
            scene = self._encode(model, frame, thumbnail_of(frame), now_ns)
        elif changed and not (due and self._passed_over):
            self._passed_over = due  # once: prompts that change all the time must not stop encodes
        elif due:
            scene = self._refreshed(model, frame, scene, now_ns)
        elif self._decoded is not None:
            return
        self._post(self._decode(model, scene, prompts), scene, prompts)
        self._works(model)

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

    def _refreshed(self, model: Model, frame: Frame, scene: Scene, now_ns: int) -> Scene:
        """The Scene of this picture: the old one when it has not changed."""
        thumbnail = thumbnail_of(frame)
        if (
            self._thumbnail is not None
            and scene.size_hw == frame.size_hw
            and is_static(thumbnail, self._thumbnail)
        ):
            self._schedule(now_ns)
            self._at = frame.info
            return scene
        return self._encode(model, frame, thumbnail, now_ns)

    def _encode(
        self, model: Model, frame: Frame, thumbnail: npt.NDArray[np.uint8], now_ns: int
    ) -> Scene:
        self._schedule(now_ns)
        self._at = frame.info
        self._scene = self._decoded = None
        scene = model.encode(frame)
        self._counters.encode(self._clock.now_ns())
        self._scene, self._thumbnail = scene, thumbnail
        return scene

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
