"""Decides when to encode and when to decode, and does it: the only user of the model."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from promptmatte.clock import Clock
from promptmatte.counters import Counters
from promptmatte.errors import ModelError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.change import is_static
from promptmatte.matte.luma import thumbnail_of
from promptmatte.matte.stream import Anchor
from promptmatte.models.protocol import Decoded, Model, PromptEmbedding, Scene
from promptmatte.prompts import PromptSet
from promptmatte.slot import LatestSlot

logger = logging.getLogger(__name__)

IDLE_S = 0.25

NOTHING = Decoded(logits=np.zeros((0, 1, 1), np.float32), confidence=())


class KeyframeWorker:
    """Turns the latest frame and the prompts into anchors, on a thread of its own.

    A frame is encoded when one is due (`encode_hz`) and its picture differs from the one
    encoded last, and at once when there is no Scene of the current shot. Prompts that
    changed are decoded on the Scene there is. `frames` takes the frames; `anchors` gives
    what was found.
    """

    def __init__(self, *, model: Model, encode_hz: float, clock: Clock, counters: Counters) -> None:
        self.frames: LatestSlot[Frame] = LatestSlot()
        self.anchors: LatestSlot[Anchor] = LatestSlot()
        self._model = model
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

    def set_prompts(self, prompts: PromptSet) -> None:
        """Prompts to find from now on; called from any thread."""
        self._prompts = prompts
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
            self._frame = self.frames.take(IDLE_S) or self._frame
            if self._frame is not None:
                self.consider(self._frame)

    def consider(self, frame: Frame) -> None:
        """Encodes this newest frame and decodes the prompts, as far as either is called for.

        What the model raises is kept as `error`; it is tried again a period later.
        """
        if self._clock.now_ns() < self._retry_ns:
            return
        try:
            self._turn(frame, self._prompts)
        except Exception as error:  # noqa: BLE001  a model may raise anything
            self._fail(error)

    def _turn(self, frame: Frame, prompts: PromptSet) -> None:
        """At most one encode and one decode."""
        if not prompts.prompts:
            self._clear(frame, prompts)
            return
        changed = self._embedded != prompts
        scene = self._scene
        now_ns = self._clock.now_ns()
        due = now_ns >= self._due_ns - (self._period_ns // 2 if self._hurried else 0)
        if scene is None or not self._is_current(scene.info):
            scene = self._encode(frame, thumbnail_of(frame), now_ns)
        elif changed and not (due and self._passed_over):
            self._passed_over = due  # once: prompts that change all the time must not stop encodes
        elif due:
            scene = self._refreshed(frame, scene, now_ns)
        elif self._decoded is not None:
            return
        self._post(self._decode(scene, prompts), scene, prompts)

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

    def _refreshed(self, frame: Frame, scene: Scene, now_ns: int) -> Scene:
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
        return self._encode(frame, thumbnail, now_ns)

    def _encode(self, frame: Frame, thumbnail: npt.NDArray[np.uint8], now_ns: int) -> Scene:
        self._schedule(now_ns)
        self._at = frame.info
        self._scene = self._decoded = None
        scene = self._model.encode(frame)
        self._counters.encode(self._clock.now_ns())
        self._scene, self._thumbnail = scene, thumbnail
        return scene

    def _schedule(self, now_ns: int) -> None:
        late_ns = now_ns - self._due_ns
        start_ns = self._due_ns if 0 <= late_ns < self._period_ns else now_ns
        self._hurried = False
        self._due_ns = start_ns + self._period_ns
        self._passed_over = False

    def _decode(self, scene: Scene, prompts: PromptSet) -> Decoded:
        if self._embedding is None or self._embedded != prompts:
            self._embedded = self._decoded = None
            self._embedding = self._model.embed(prompts)
            self._embedded = prompts
        if self._decoded is None:
            decoded = self._model.decode(scene, self._embedding)
            _check(decoded, prompts)
            self._decoded = decoded
            self._counters.decode()
        return self._decoded

    def _post(self, decoded: Decoded, scene: Scene, prompts: PromptSet) -> None:
        self._cleared_version = -1
        at = self._at or scene.info
        self.anchors.put(Anchor(info=scene.info, at=at, decoded=decoded, prompts=prompts))
        if self._error is not None:
            logger.info("model %s works again", self._model.name)
            self._error = None

    def _fail(self, error: Exception) -> None:
        self._retry_ns = self._clock.now_ns() + self._period_ns
        message = f"{type(error).__name__}: {error}"
        if message != self._error:
            logger.warning("model %s failed: %s", self._model.name, message)
            self._error = message


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
