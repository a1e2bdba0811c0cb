import pytest
from moving_scene import ColourModel, MovingScene
from promptmatte.counters import Counters
from promptmatte.errors import PromptError
from promptmatte.evaluation.simulation import SimulatedClock
from promptmatte.keyframes import KeyframeWorker
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.suggestions import MAX_WORDS, Inquiry

MOVING, STILL = MovingScene(speed=4.0), MovingScene(speed=0.0)
RED = PromptSet(version=1, prompts=(Prompt(text="red"),))
BLUE = PromptSet(version=2, prompts=(Prompt(text="blue"),))


class Bench:
    """A worker that is shown frames 10 ms apart."""

    def __init__(self, encode_hz: float = 10.0, scene: MovingScene = MOVING) -> None:
        self.clock, self.model, self.counters = SimulatedClock(), ColourModel(), Counters()
        self.scene = scene
        self.shortages = 0
        self.worker = KeyframeWorker(
            model=self.model,
            encode_hz=encode_hz,
            clock=self.clock,
            counters=self.counters,
            short_of_memory=self.count_shortage,
        )
        self.worker.set_prompts(RED)
        self.seq = 0

    def count_shortage(self) -> None:
        self.shortages += 1

    def show(self, frames: int) -> None:
        for _ in range(frames):
            self.worker.consider(self.scene.frame(self.seq, captured_ns=self.clock.ns))
            self.seq += 1
            self.clock.ns += 10_000_000


@pytest.mark.parametrize(("encode_hz", "encodes"), [(10.0, 10), (8.0, 8), (30.0, 30), (1.0, 1)])
def test_encodes_come_at_the_rate_asked_for(encode_hz: float, encodes: int) -> None:
    bench = Bench(encode_hz)
    bench.show(100)
    assert len(bench.model.encoded) == encodes
    assert bench.model.encoded[0] == 0


def test_a_new_rate_holds_at_once() -> None:
    bench = Bench(encode_hz=0.1)
    bench.show(5)
    bench.worker.set_encode_hz(50.0)
    bench.show(10)
    assert bench.model.encoded == [0, 7, 9, 11, 13]
    bench.worker.set_encode_hz(0.1)
    bench.show(20)
    assert bench.model.encoded == [0, 7, 9, 11, 13, 15]


def test_encodes_lost_to_a_pause_are_not_made_up_for() -> None:
    bench = Bench()
    bench.show(1)
    bench.clock.ns += 5_000_000_000
    bench.show(20)
    assert bench.model.encoded == [0, 1, 11]


def test_an_unchanged_picture_is_not_encoded_but_anchored_again() -> None:
    bench = Bench(scene=STILL)
    bench.show(100)
    assert bench.model.encoded == [0]
    assert len(bench.model.decoded) == 1
    anchor = bench.worker.anchors.take(0.0)
    assert anchor is not None
    assert (anchor.info.seq, anchor.at.seq) == (0, 90)


def test_a_new_prompt_is_decoded_at_once_on_the_scene_there_is() -> None:
    bench = Bench()
    bench.show(5)
    bench.worker.set_prompts(BLUE)
    bench.show(1)
    assert bench.model.encoded == [0]
    assert bench.model.decoded == [(0, 1), (0, 2)]
    anchor = bench.worker.anchors.take(0.0)
    assert anchor is not None
    assert (anchor.at.seq, anchor.prompts) == (0, BLUE)


def test_a_new_prompt_goes_before_a_due_encode_once() -> None:
    bench = Bench(encode_hz=100.0)
    bench.show(3)
    encoded = len(bench.model.encoded)
    for version in range(2, 12):
        bench.worker.set_prompts(PromptSet(version=version, prompts=BLUE.prompts))
        bench.show(1)
    assert bench.model.decoded[encoded] == (2, 2)
    assert len(bench.model.encoded) == encoded + 5


def test_a_required_frame_is_encoded_at_once() -> None:
    bench = Bench(encode_hz=0.1)
    bench.show(5)
    bench.worker.require(MOVING.frame(5).info)
    bench.show(5)
    assert bench.model.encoded == [0, 5]
    bench.worker.require(MOVING.frame(0, stream_id=2).info)
    bench.show(1)
    assert bench.model.encoded == [0, 5, 10]


def test_a_refused_scene_is_replaced_even_if_the_picture_is_the_same() -> None:
    bench = Bench(encode_hz=0.1, scene=STILL)
    bench.show(5)
    bench.worker.refuse(STILL.frame(0, captured_ns=0).info)
    bench.show(5)
    assert bench.model.encoded == [0, 5]


def test_a_failing_model_is_tried_again_a_period_later() -> None:
    bench = Bench()
    bench.model.fail_with = RuntimeError("out of memory")
    bench.show(30)
    assert bench.worker.error == "RuntimeError: out of memory"
    assert bench.worker.anchors.take(0.0) is None
    bench.model.fail_with = None
    bench.show(10)
    assert bench.worker.error is None
    assert bench.model.encoded == [30]
    assert bench.worker.anchors.take(0.0) is not None


def test_a_new_size_is_never_taken_for_the_same_picture() -> None:
    bench = Bench(scene=STILL)
    bench.show(1)
    bench.scene = MovingScene(speed=0.0, size_hw=(90, 160))
    bench.show(20)
    assert len(bench.model.encoded) >= 2


def test_without_prompts_nothing_is_encoded() -> None:
    bench = Bench()
    bench.show(5)
    bench.worker.set_prompts(PromptSet(version=2))
    bench.show(50)
    assert bench.model.encoded == [0]
    anchor = bench.worker.anchors.take(0.0)
    assert anchor is not None
    assert anchor.decoded.logits.shape[0] == 0
    assert bench.worker.anchors.take(0.0) is None
    bench.worker.set_prompts(PromptSet(version=3, prompts=BLUE.prompts))
    bench.show(1)
    assert bench.model.encoded == [0, 55]


def test_counters_tell_encodes_from_decodes() -> None:
    bench = Bench()
    bench.show(11)
    bench.worker.set_prompts(BLUE)
    bench.show(1)
    snapshot = bench.counters.snapshot(bench.clock.ns)
    assert (snapshot["encodes"], snapshot["decodes"]) == (2, 3)
    assert snapshot["keyframe_hz"] == 10.0


def test_a_hurried_encode_comes_half_a_period_early_and_once() -> None:
    bench = Bench()
    bench.show(2)
    bench.worker.hurry()
    bench.show(18)
    assert bench.model.encoded == [0, 5, 15]


def test_without_a_model_nothing_happens_until_there_is_one() -> None:
    bench = Bench()
    bench.worker.set_model(None)
    bench.show(20)
    assert bench.model.encoded == []
    bench.worker.set_model(bench.model)
    bench.show(1)
    assert bench.model.encoded == [20]


def test_another_model_encodes_at_once_and_shares_nothing_with_the_one_before() -> None:
    bench, other = Bench(encode_hz=0.1), ColourModel()
    bench.show(5)
    bench.worker.set_model(other)
    bench.show(5)
    assert (bench.model.encoded, other.encoded) == ([0], [5])
    assert other.decoded == [(5, 1)]


def test_a_model_short_of_memory_twice_running_is_reported() -> None:
    bench = Bench()
    bench.model.fail_with = MemoryError("the card is full")
    bench.show(1)
    assert (bench.shortages, bench.worker.error) == (0, "MemoryError: the card is full")
    bench.model.fail_with = None
    bench.show(10)
    assert bench.worker.error is None
    bench.model.fail_with = MemoryError("the card is full")
    bench.show(10)
    assert bench.shortages == 0  # a success came between
    bench.show(10)
    assert bench.shortages == 1
    bench.model.fail_with = RuntimeError("something else")
    bench.show(50)
    assert bench.shortages == 1


def test_an_inquiry_is_answered_between_keyframes_on_the_scene_there_is() -> None:
    bench = Bench()
    bench.show(1)
    inquiry = Inquiry(["zebra", "red"])
    bench.worker.ask(inquiry)
    frame = bench.scene.frame(1)
    bench.worker.inquire(frame)
    assert not inquiry.done
    bench.worker.inquire(frame)
    assert inquiry.answer(10)["suggestions"] == [
        {"text": "red", "confidence": 0.9}, {"text": "zebra", "confidence": 0.0},
    ]  # fmt: skip
    assert bench.model.encoded == [0]


def test_an_inquiry_needs_no_prompts_and_a_failing_one_ends() -> None:
    bench = Bench()
    bench.worker.set_prompts(PromptSet(version=2))
    bench.show(5)
    inquiry = Inquiry()
    bench.worker.ask(inquiry)
    for _ in range(3):  # to embed three words, to look for two, for the third
        assert not inquiry.done
        bench.worker.inquire(bench.scene.frame(5))
    assert [s["text"] for s in inquiry.answer(2)["suggestions"]] == ["blue", "red"]
    assert bench.model.encoded == [5]
    bench.model.fail_with = RuntimeError("broken")
    failing = Inquiry(["red"])
    bench.worker.ask(failing)
    bench.worker.inquire(bench.scene.frame(6))
    assert failing.answer(10) == {
        "done": True, "error": "RuntimeError: broken", "suggestions": [],
    }  # fmt: skip
    assert bench.worker.error is None


def test_a_new_model_starts_an_inquiry_over() -> None:
    bench, other = Bench(), ColourModel()
    bench.show(1)
    inquiry = Inquiry()
    bench.worker.ask(inquiry)
    bench.worker.inquire(bench.scene.frame(1))
    bench.worker.set_model(other)
    bench.show(1)
    for _ in range(3):
        bench.worker.inquire(bench.scene.frame(1))
    assert inquiry.done
    assert other.encoded == [1]
    assert inquiry.scene is not None
    assert inquiry.scene.info.seq == 1


def test_an_inquiry_takes_usable_words_only() -> None:
    assert Inquiry(["a", " a "]).answer(5)["done"] is False
    for words in ([""], ["a"] * (MAX_WORDS + 1)):
        with pytest.raises(PromptError):
            Inquiry(words)
