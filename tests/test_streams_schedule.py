"""Who comes next when many streams share one model: real workers under a simulated clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from moving_scene import ColourModel, MovingScene
from promptmatte.counters import Counters
from promptmatte.evaluation.simulation import SimulatedClock
from promptmatte.frame import Frame, FrameInfo
from promptmatte.keyframe_schedule import KeyframeSchedule
from promptmatte.keyframes import KeyframeWorker
from promptmatte.models.protocol import BatchModel, Scene
from promptmatte.prompts import Prompt, PromptSet

SIZE_HW = (48, 64)
MOVING = [MovingScene(speed=4.0, size_hw=SIZE_HW).picture(index) for index in range(0, 93, 3)]
STILL = MOVING[:1]
RED = PromptSet(version=1, prompts=(Prompt(text="red"),))
FRAME_NS = 10_000_000


class SlowModel(ColourModel):
    """Takes its time, by the simulated clock; knows each frame's stream. broken: a stream_id."""

    def __init__(self, clock: SimulatedClock, encode_ms: float) -> None:
        super().__init__()
        self.clock, self.encode_ns = clock, round(1e6 * encode_ms)
        self.streams: list[int] = []
        self.broken: int | None = None

    def encode(self, frame: Frame) -> Scene:
        self.clock.ns += self.encode_ns
        self._refuse_broken(frame)
        self.streams.append(frame.info.stream_id)
        return super().encode(frame)

    def _refuse_broken(self, frame: Frame) -> None:
        if frame.info.stream_id == self.broken:
            raise MemoryError("no room for this one")


class Batches(SlowModel):
    """Takes up to three frames in the time of one."""

    encode_batch = 3

    def __init__(self, clock: SimulatedClock, encode_ms: float) -> None:
        super().__init__(clock, encode_ms)
        self.passes: list[list[int]] = []

    def encode_many(self, frames: Sequence[Frame]) -> list[Scene]:
        self.passes.append([frame.info.stream_id for frame in frames])
        for frame in frames:
            self._refuse_broken(frame)
        scenes = [self.encode(frame) for frame in frames]
        self.clock.ns -= self.encode_ns * (len(frames) - 1)
        return scenes


class Bench:
    """Streams 0, 1, ... whose frames come every 10 ms of simulated time."""

    def __init__(
        self,
        rates_hz: Sequence[float],
        *,
        encode_ms: float,
        shares: Sequence[float] | None = None,
        pictures: Sequence[Sequence[npt.NDArray[np.uint8]]] | None = None,
        kind: type[SlowModel] = SlowModel,
    ) -> None:
        self.clock = SimulatedClock()
        self.model = kind(self.clock, encode_ms)
        self.schedule = KeyframeSchedule()
        self.pictures = pictures or [MOVING] * len(rates_hz)
        self.workers = []
        for index, rate_hz in enumerate(rates_hz):
            worker = KeyframeWorker(
                encode_hz=rate_hz, clock=self.clock, counters=Counters(), wake=self.schedule.wake
            )
            worker.set_prompts(RED)
            self.schedule.add(worker, shares[index] if shares else 1.0)
            self.workers.append(worker)
        self.schedule.set_model(self.model)
        self.cutting: int | None = None

    def run(self, seconds: float) -> list[int]:
        """Encodes of each stream in that time."""
        before, end_ns = len(self.model.streams), self.clock.ns + round(seconds * 1e9)
        while self.clock.ns < end_ns:
            self._show()
            if not self.schedule.turn():
                self.clock.ns += FRAME_NS
        since = self.model.streams[before:]
        return [since.count(index) for index in range(len(self.workers))]

    def _show(self) -> None:
        seq = self.clock.ns // FRAME_NS
        for index, (worker, pictures) in enumerate(zip(self.workers, self.pictures, strict=True)):
            info = FrameInfo(stream_id=index, seq=seq, pts_ns=0, captured_ns=self.clock.ns)
            frame = Frame(info=info, pixels=pictures[seq % len(pictures)])
            worker.frames.put(frame)
            if index == self.cutting:
                worker.require(frame.info)


def test_while_the_model_keeps_up_every_stream_has_its_own_rate() -> None:
    encodes = Bench([10.0, 5.0, 2.0], encode_ms=20).run(10.0)
    assert encodes == pytest.approx([100, 50, 20], abs=3)


def test_too_slow_a_model_slows_all_down_in_proportion() -> None:
    encodes = Bench([10.0, 10.0, 5.0], encode_ms=100).run(20.0)
    assert sum(encodes) == pytest.approx(200, abs=3)
    assert encodes == pytest.approx([80, 80, 40], abs=4)


def test_a_share_weighs_when_the_model_is_too_slow() -> None:
    encodes = Bench([10.0, 10.0, 10.0], encode_ms=100, shares=[2.0, 1.0, 1.0]).run(20.0)
    assert encodes == pytest.approx([100, 50, 50], abs=4)


def test_a_share_takes_nothing_from_others_while_the_model_keeps_up() -> None:
    encodes = Bench([5.0, 5.0], encode_ms=20, shares=[10.0, 0.1]).run(10.0)
    assert encodes == pytest.approx([50, 50], abs=2)


def test_the_smallest_share_of_the_slowest_stream_does_not_starve() -> None:
    encodes = Bench([10.0, 10.0, 1.0], encode_ms=100, shares=[10.0, 10.0, 1.0]).run(50.0)
    assert encodes[2] == pytest.approx(500 / 201, abs=1)


def test_a_stream_of_cuts_alone_does_not_take_the_model() -> None:
    bench = Bench([5.0, 5.0, 5.0], encode_ms=100)
    bench.cutting = 0
    encodes = bench.run(20.0)
    assert encodes[0] >= encodes[1]
    assert min(encodes[1:]) > 40  # of the 66 that a third would be


def test_a_cut_is_seen_to_at_once_while_there_is_time() -> None:
    bench = Bench([1.0, 1.0], encode_ms=20)
    bench.run(2.0)
    bench.cutting = 1
    assert bench.run(0.02)[1] >= 1


def test_what_does_not_move_or_keys_nothing_costs_nothing() -> None:
    bench = Bench([10.0, 10.0, 10.0], encode_ms=20, pictures=[MOVING, STILL, MOVING])
    bench.workers[2].set_prompts(PromptSet(version=2))
    encodes = bench.run(10.0)
    assert encodes[1:] == [1, 0]
    assert encodes[0] == pytest.approx(99, abs=3)


def test_one_failing_stream_slows_no_other_and_comes_back() -> None:
    bench = Bench([5.0, 5.0], encode_ms=50)
    bench.model.broken = 0
    assert bench.run(10.0) == pytest.approx([0, 50], abs=2)
    assert bench.workers[0].error == "MemoryError: no room for this one"
    assert bench.workers[1].error is None
    bench.model.broken = None
    assert bench.run(10.0) == pytest.approx([50, 50], abs=2)
    assert bench.workers[0].error is None


def test_an_ended_stream_is_left_out_and_the_last_end_ends_the_run() -> None:
    bench = Bench([5.0, 5.0], encode_ms=20)
    bench.workers[0].frames.close()
    assert bench.run(2.0) == pytest.approx([0, 10], abs=1)
    bench.workers[1].frames.close()
    bench.schedule.run()


def test_streams_that_are_due_together_share_a_pass() -> None:
    bench = Bench([5.0, 5.0, 5.0, 5.0], encode_ms=20, kind=Batches)
    model = bench.model
    assert isinstance(model, BatchModel)
    assert isinstance(model, Batches)
    assert bench.run(10.0) == pytest.approx([50, 50, 50, 50], abs=3)
    assert max(map(len, model.passes)) == 3
    assert len(model.passes) < 120


def test_anchors_of_a_shared_pass_are_those_of_single_ones() -> None:
    found = []
    for kind in (SlowModel, Batches):
        bench = Bench([5.0, 5.0], encode_ms=20, kind=kind)
        bench.run(0.01)
        anchors = [worker.anchors.take(0.0) for worker in bench.workers]
        found.append(
            [(anchor.info, anchor.decoded.logits.tolist()) for anchor in anchors if anchor]
        )
    single, shared = found
    assert len(single) == 1  # the second one's turn comes with the next pass
    assert len(shared) == 2
    assert single[0] in shared


def test_a_pass_that_fails_is_made_one_by_one_and_the_fault_is_its_own_stream_s() -> None:
    bench = Bench([5.0, 5.0, 5.0], encode_ms=20, kind=Batches)
    bench.model.broken = 1
    assert bench.run(10.0) == pytest.approx([50, 0, 50], abs=3)
    assert [worker.error is None for worker in bench.workers] == [True, False, True]
    assert isinstance(bench.model, Batches)
    assert len(bench.model.passes) == 1  # not tried again with this model
