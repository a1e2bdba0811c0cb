"""The live engine under a simulated clock: deterministic, on one thread, without waiting."""

from __future__ import annotations

import time

import torch

from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.counters import Counters
from promptmatte.errors import ModelError
from promptmatte.frame import Frame, Matte
from promptmatte.keyframes import KeyframeWorker
from promptmatte.matte.stream import Anchor, MatteStream
from promptmatte.matting import Delay, follow_with_keyframes
from promptmatte.models.protocol import Model
from promptmatte.prompts import PromptSet


class SimulatedClock:
    """Stands where the simulation sets it."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        """Simulated nanoseconds."""
        return self.ns

    def sleep_s(self, seconds: float) -> None:
        """Moves the time on."""
        self.ns += round(seconds * 1e9)


class Simulation:
    """KeyframeWorker and MatteStream at work as in a Pipeline, where time is what frames say.

    An encode starts when the worker is free and wants one; the model runs at once, but its
    anchor arrives encode_ns later, and until then the worker is busy. Decoding alone, like
    the making of mattes, takes no time. A frame comes before an anchor of the same moment.
    """

    def __init__(
        self,
        *,
        model: Model,
        prompts: PromptSet,
        config: PipelineConfig,
        controls: Controls,
        encode_ns: int,
    ) -> None:
        torch.set_num_threads(1)  # as in the matte thread of a Pipeline
        self._clock, self._counters = SimulatedClock(), Counters()
        self._worker = KeyframeWorker(
            model=model,
            encode_hz=controls.stream.encode_hz,
            clock=self._clock,
            counters=self._counters,
        )
        self._worker.set_prompts(prompts)
        self._stream = MatteStream(config)
        self._stream.set_controls(controls)
        self._delay, self._latency = Delay(), controls.stream.latency
        self._encode_ns = encode_ns
        self._on_its_way: tuple[int, Anchor] | None = None
        self.arrived: Anchor | None = None
        """The anchor that the last frame's matte could use for the first time."""
        self.step_ms = 0.0
        """Wall time of the last turn of the matte loop."""

    def show(self, frame: Frame, *, encodable: bool = True) -> Matte | None:
        """The matte that comes out when this frame comes in; ModelError.

        frame: rgb8, captured later than the one before. encodable: False keeps it from
        the keyframe worker.
        """
        now_ns = frame.info.captured_ns
        self._run_worker_until(now_ns - 1)
        if encodable:
            self._worker.frames.put(frame)
        self._clock.ns = now_ns
        self._take_frame()
        self._run_worker_until(now_ns)
        self.arrived = self._worker.anchors.take(0.0)
        if self.arrived is not None:
            self._worker.anchors.put(self.arrived)
        start = time.perf_counter()
        matte = None
        for due in self._delay.put(frame, self._latency):
            matte = self._step(due)
        self.step_ms = 1e3 * (time.perf_counter() - start)
        if encodable and self._on_its_way is None:  # the step may have asked for an encode
            self._consider(frame)
        return matte

    def rest(self) -> list[Matte]:
        """The mattes of the last frames that waited for later ones."""
        mattes = [self._step(frame) for frame in self._delay.flush()]
        return [matte for matte in mattes if matte is not None]

    def _step(self, frame: Frame) -> Matte | None:
        draft = follow_with_keyframes(frame, stream=self._stream, keyframes=self._worker)
        return draft.matte() if draft is not None else None

    def _run_worker_until(self, until_ns: int) -> None:
        """Lets anchors arrive; after each, the worker is free for the next frame."""
        while self._on_its_way is not None and self._on_its_way[0] <= until_ns:
            self._clock.ns, anchor = self._on_its_way
            self._on_its_way = None
            self._worker.anchors.put(anchor)
            self._take_frame()

    def _take_frame(self) -> None:
        frame = self._worker.frames.take(0.0) if self._on_its_way is None else None
        if frame is not None:
            self._consider(frame)

    def _consider(self, frame: Frame) -> None:
        ready = self._worker.anchors.take(0.0)
        encodes = self._encodes()
        self._worker.consider(frame)
        if self._worker.error is not None:
            raise ModelError(f"the model failed: {self._worker.error}")
        found = self._worker.anchors.take(0.0)
        if found is not None and self._encodes() > encodes:
            self._on_its_way = (self._clock.ns + self._encode_ns, found)
            found = None
        newest = found or ready
        if newest is not None:
            self._worker.anchors.put(newest)

    def _encodes(self) -> int:
        return int(self._counters.snapshot(self._clock.ns)["encodes"])
