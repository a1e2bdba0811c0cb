import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from moving_scene import CollectingLink, ColourModel, MovingScene, SceneSource, iou
from promptmatte import frame_failures
from promptmatte.clock import RealClock
from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError, PromptError, SourceError
from promptmatte.frame import Frame, Matte
from promptmatte.links import open_client_link, open_server_link
from promptmatte.links.protocol import ServerLink
from promptmatte.matte.correction import MaskCorrector
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.models.choice import ModelChoice
from promptmatte.pipeline import Pipeline
from promptmatte.prompts import Prompt
from promptmatte.sources.protocol import Source

SCENE = MovingScene(speed=1.0)
STILL = MovingScene(speed=0.0)
RED, BLUE = (Prompt(text="red"),), (Prompt(text="blue"),)
CONFIG = PipelineConfig(retry_s=(0.05, 0.2))


def wait_until(reached: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.01)


Start = Callable[..., Pipeline]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a pipeline; stops it at the end of the test and checks that no frame got lost."""
    started: list[Pipeline] = []

    def run(
        open_source: Callable[[], Source],
        model: ColourModel,
        links: Sequence[ServerLink] = (),
        prompts: tuple[Prompt, ...] = RED,
        config: PipelineConfig = CONFIG,
        encode_hz: float = 10.0,
    ) -> Pipeline:
        pipeline = Pipeline(
            open_source=open_source, model=model, links=links, config=config, clock=RealClock()
        )
        pipeline.set_prompts(prompts)
        pipeline.set_controls(Controls().replaced({"encode_hz": encode_hz}))
        started.append(pipeline)
        pipeline.start()
        return pipeline

    yield run
    for pipeline in started:
        pipeline.stop()
        assert_all_counted(pipeline.status())
    names = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("promptmatte-") for name in names)


def assert_all_counted(status: dict[str, Any]) -> None:
    assert status["frames_in"] == status["mattes_out"] + sum(status["dropped"].values())


def stats(pipeline: Pipeline) -> dict[str, Any]:
    status = pipeline.status()
    json.dumps(status, allow_nan=False)
    return status


@pytest.mark.parametrize("owner", [EdgeRefiner, MaskCorrector])
def test_a_frame_that_fails_costs_its_matte_and_the_show_goes_on(
    start: Start, monkeypatch: pytest.MonkeyPatch, owner: Any
) -> None:
    link, failing = CollectingLink(), threading.Event()
    name = "refine" if owner is EdgeRefiner else "masks"
    made = getattr(owner, name)

    def sometimes(*args: Any) -> Any:
        if failing.is_set():
            raise MemoryError("no memory for a frame")
        return made(*args)

    monkeypatch.setattr(owner, name, sometimes)
    pipeline = start(lambda: SceneSource(SCENE), ColourModel(), [link])
    wait_until(lambda: len(link.mattes) > 10)
    for _ in range(3):
        failing.set()
        wait_until(lambda: stats(pipeline)["errors"] == "MemoryError: no memory for a frame")
        assert stats(pipeline)["dropped"]["failed"] > 0
        failing.clear()
        mattes = len(link.mattes)
        wait_until(lambda before=mattes: len(link.mattes) > before + 10)
        assert stats(pipeline)["errors"] is None
        assert stats(pipeline)["state"] == "running"
    matte = link.mattes[-1]
    assert iou(matte.alpha[..., 0], SCENE.red_alpha(matte.info.seq)) > 0.8


@pytest.mark.parametrize("owner", [EdgeRefiner, MaskCorrector])
def test_where_no_frame_has_a_matte_for_long_the_state_says_so_until_one_has(
    start: Start, monkeypatch: pytest.MonkeyPatch, owner: Any
) -> None:
    def refused(*_: object) -> None:
        raise MemoryError("the card is lost")

    monkeypatch.setattr(frame_failures, "MOST_TIME_NS", 300_000_000)
    name = "refine" if owner is EdgeRefiner else "masks"
    made = getattr(owner, name)
    monkeypatch.setattr(owner, name, refused)
    link = CollectingLink()
    pipeline = start(lambda: SceneSource(SCENE), ColourModel(), [link])
    wait_until(lambda: pipeline.hopeless)
    assert stats(pipeline)["state"] == "failed: MemoryError: the card is lost"
    assert stats(pipeline)["dropped"]["failed"] >= frame_failures.MOST_FAILURES
    monkeypatch.setattr(owner, name, made)
    wait_until(lambda: len(link.mattes) > 5)
    assert not pipeline.hopeless
    assert stats(pipeline)["state"] == "running"


def test_every_frame_has_a_matte_that_fits_it_between_few_encodes(start: Start) -> None:
    link, model = CollectingLink(), ColourModel()
    pipeline = start(lambda: SceneSource(SCENE, frames=150), model, [link])
    assert pipeline.wait(30.0)
    pipeline.stop()
    status = stats(pipeline)
    assert status["state"] == "ended"
    assert status["frames_in"] == 150
    assert status["mattes_out"] == len(link.mattes) > 30
    assert 3 <= status["encodes"] == len(model.encoded) < len(link.mattes) / 2
    assert status["decodes"] == status["encodes"]
    assert model.threads == {"promptmatte-keyframe"}
    seqs = [matte.info.seq for matte in link.mattes]
    assert seqs == sorted(set(seqs))
    overlaps = [iou(m.alpha[..., 0], SCENE.red_alpha(m.info.seq)) for m in link.mattes]
    assert np.median(overlaps) > 0.85
    assert {m.anchor_seq for m in link.mattes} <= set(model.encoded)
    assert all(m.anchor_seq <= m.info.seq and m.age_ms >= 0 for m in link.mattes)


def test_the_status_tells_all(start: Start) -> None:
    link = CollectingLink()
    prompts = (Prompt(text="red", negative=("car",)), Prompt(text="zebra"))
    pipeline = start(lambda: SceneSource(SCENE), ColourModel(), [link], prompts)
    wait_until(lambda: len(link.mattes) > 20)
    status = stats(pipeline)
    assert status["state"] == "running"
    assert (status["source"], status["model"], status["device"]) == ("scene:", "colour", "cpu")
    assert status["size"] == list(SCENE.size_hw)
    assert status["prompts"] == [
        {"text": "red", "also": [], "negative": ["car"], "confidence": 0.9},
        {"text": "zebra", "also": [], "negative": [], "confidence": 0.0},
    ]
    assert status["prompts_version"] == 1
    assert status["controls"] == {"channels": [{}, {}, {}, {}], "stream": {"encode_hz": 10.0}}
    assert status["matte_fps"] > 0
    assert 0 < status["latency_ms"]["p50"] <= status["latency_ms"]["p99"]
    assert status["errors"] is None
    assert status["anchor_seq"] >= 0
    [entry] = status["links"]
    assert (entry["address"], entry["connected"], entry["errors"]) == ("collect:", True, 0)
    pipeline.stop()
    assert stats(pipeline)["state"] == "stopped"


def test_the_status_says_what_the_model_does_not_know(start: Start) -> None:
    pipeline = start(lambda: SceneSource(SCENE), ColourModel())
    assert pipeline.notes() == stats(pipeline)["notes"] == []
    pipeline.set_prompts((Prompt.parse("red - dragon"), Prompt(text="everything")))
    [note] = pipeline.notes()
    assert note.startswith('colour does not know "dragon": nothing is left out for it; sam-vit-b')
    assert stats(pipeline)["notes"] == [note]
    pipeline.set_prompts(BLUE)
    assert stats(pipeline)["notes"] == []


def test_there_are_no_notes_while_there_is_no_model(start: Start) -> None:
    pipeline = Pipeline(
        open_source=lambda: SceneSource(SCENE),
        model=ModelChoice(device="cpu"),
        links=[],
        config=CONFIG,
        clock=RealClock(),
    )
    pipeline.set_prompts((Prompt(text="dragon"),))
    assert pipeline.notes() == []
    assert pipeline.status()["notes"] == []


def test_controls_show_from_the_next_frame_on(start: Start) -> None:
    link = CollectingLink()
    pipeline = start(lambda: SceneSource(STILL), ColourModel(), [link])
    wait_until(lambda: len(link.mattes) > 5)
    plain = link.mattes[-1].alpha
    changed = pipeline.controls.replaced({"invert": True})
    pipeline.set_controls(changed)
    assert pipeline.controls is changed
    wait_until(lambda: link.mattes[-1].alpha[90, 160, 0] != plain[90, 160, 0])
    assert np.abs(link.mattes[-1].alpha.astype(int) - (255 - plain.astype(int))).max() < 64
    assert stats(pipeline)["controls"]["channels"][0] == {"invert": True}


def test_a_pipeline_says_starting_before_the_first_frame(start: Start) -> None:
    gate = threading.Event()

    def open_late() -> Source:
        gate.wait(20.0)
        return SceneSource(SCENE)

    pipeline = start(open_late, ColourModel())
    status = stats(pipeline)
    gate.set()
    assert (status["state"], status["size"], status["frames_in"]) == ("starting", None, 0)
    assert status["latency_ms"] == {"p50": None, "p95": None, "p99": None}


def test_a_still_picture_is_encoded_once_and_a_prompt_change_needs_no_encode(
    start: Start,
) -> None:
    link, model = CollectingLink(), ColourModel()
    pipeline = start(lambda: SceneSource(STILL), model, [link])
    wait_until(lambda: len(link.mattes) > 60)
    assert pipeline.set_prompts(BLUE).version == 2
    wait_until(lambda: link.mattes[-1].prompts_version == 2)
    blue = link.mattes[-1]
    assert stats(pipeline)["encodes"] == 1
    assert model.decoded == [(model.encoded[0], 1), (model.encoded[0], 2)]
    assert blue.anchor_seq == model.encoded[0]
    assert blue.alpha[:20, :40].mean() > 200
    assert blue.alpha[90:].max() == 0


def test_a_prompt_change_is_decoded_on_the_scene_of_a_moving_picture(start: Start) -> None:
    link, model = CollectingLink(), ColourModel()
    pipeline = start(lambda: SceneSource(SCENE), model, [link], encode_hz=0.1)
    wait_until(lambda: len(link.mattes) > 60)
    pipeline.set_prompts(BLUE)
    wait_until(lambda: link.mattes[-1].prompts_version == 2)
    assert len(model.encoded) == 1
    pipeline.set_prompts(RED)
    wait_until(lambda: link.mattes[-1].prompts_version == 3)
    red = link.mattes[-1]
    assert model.encoded == [red.anchor_seq]
    assert red.info.seq - red.anchor_seq > 40
    truth = SCENE.red_alpha(red.info.seq)
    assert iou(red.alpha[..., 0], truth) > iou(SCENE.red_alpha(red.anchor_seq), truth)


def test_prompts_that_change_all_the_time_do_not_stop_encodes(start: Start) -> None:
    link, model = CollectingLink(), ColourModel()
    pipeline = start(lambda: SceneSource(SCENE), model, [link])
    turn = iter(range(1_000_000))

    def changed_and_encoded() -> bool:
        pipeline.set_prompts((RED, BLUE)[next(turn) % 2])
        return len(model.encoded) > 4

    wait_until(changed_and_encoded)


def test_the_same_prompts_again_change_nothing_and_five_are_refused(start: Start) -> None:
    pipeline = start(lambda: SceneSource(SCENE), ColourModel())
    assert pipeline.set_prompts((Prompt(text=" red "),)).version == 1
    with pytest.raises(PromptError, match="at most 4"):
        pipeline.set_prompts(RED * 5)
    assert stats(pipeline)["prompts_version"] == 1


def test_cleared_prompts_give_empty_mattes_and_no_encodes(start: Start) -> None:
    link, model = CollectingLink(), ColourModel()
    pipeline = start(lambda: SceneSource(SCENE), model, [link], prompts=())
    wait_until(lambda: len(link.mattes) > 10)
    assert model.encoded == []
    assert not any(matte.alpha.any() for matte in link.mattes)
    pipeline.set_prompts(RED)
    wait_until(lambda: bool(link.mattes[-1].alpha.any()))
    pipeline.set_prompts(())
    wait_until(lambda: link.mattes[-1].prompts_version == 2)
    assert not link.mattes[-1].alpha.any()
    pipeline.set_prompts(BLUE)
    wait_until(lambda: link.mattes[-1].prompts_version == 3)
    assert link.mattes[-1].alpha.any()


def test_a_keyframe_later_than_the_history_still_fits(start: Start) -> None:
    gate = threading.Event()
    link, model = CollectingLink(), ColourModel(encode_gate=lambda: gate.wait(20.0) or None)
    config = PipelineConfig(history_frames=4)
    pipeline = start(lambda: SceneSource(SCENE), model, [link], config=config, encode_hz=0.1)
    wait_until(lambda: stats(pipeline)["frames_in"] > 25)
    assert link.mattes == []
    assert set(stats(pipeline)["dropped"]) <= {"waiting_for_keyframe", "busy"}
    gate.set()
    wait_until(lambda: len(link.mattes) > 0)
    first = link.mattes[0]
    assert first.anchor_seq == model.encoded[0] < first.info.seq - 10
    truth = SCENE.red_alpha(first.info.seq)
    assert iou(first.alpha[..., 0], truth) > iou(SCENE.red_alpha(first.anchor_seq), truth)


def test_a_lost_source_is_opened_again_and_nothing_wrong_is_sent(start: Start) -> None:
    link, model = CollectingLink(), ColourModel()
    away, opened = threading.Event(), []
    other = MovingScene(speed=1.0, size_hw=(90, 160), seed=8)

    def open_source() -> Source:
        if opened and not away.is_set():
            raise SourceError("camera 0 is not there")
        opened.append(1)
        if len(opened) == 1:
            return SceneSource(SCENE, stream_id=1, lose_at=40)
        return SceneSource(other, stream_id=2)

    pipeline = start(open_source, model, [link])
    wait_until(lambda: "camera 0" in stats(pipeline)["state"])
    lost = stats(pipeline)["state"]
    assert lost.startswith("source lost: camera 0 is not there; retry in 0.")
    held = len(link.mattes)
    away.set()
    wait_until(lambda: len(link.mattes) > held + 10)
    assert stats(pipeline)["state"] == "running"
    assert stats(pipeline)["size"] == [90, 160]
    scenes = {1: SCENE, 2: other}
    for matte in link.mattes:
        scene = scenes[matte.info.stream_id]
        assert matte.size_hw == scene.size_hw
        assert iou(matte.alpha[..., 0], scene.red_alpha(matte.info.seq)) > 0.5


def test_waits_between_retries_double_up_to_the_longest(start: Start) -> None:
    states: list[str] = []

    def open_source() -> Source:
        if states or pipeline_made.wait(20.0):
            states.append(stats(pipelines[0])["state"])
        raise SourceError("nothing there")

    pipelines: list[Pipeline] = []
    pipeline_made = threading.Event()
    pipelines.append(start(open_source, ColourModel()))
    pipeline_made.set()
    wait_until(lambda: len(states) >= 5)
    waits = [state.rpartition("retry in ")[2] for state in states[:5]]
    assert states[0] == "starting"
    assert waits[1:] == ["0.05 s", "0.1 s", "0.2 s", "0.2 s"]
    started = time.monotonic()
    pipelines[0].stop()
    assert time.monotonic() - started < 10.0


def test_a_source_that_fails_as_none_should_is_opened_again(start: Start) -> None:
    class Broken(SceneSource):
        def read(self, timeout_s: float) -> Frame | None:
            raise ZeroDivisionError("a fault of the driver")

    link, sources = CollectingLink(), [SceneSource(SCENE), Broken(SCENE)]
    pipeline = start(
        lambda: sources.pop() if sources else SceneSource(SCENE), ColourModel(), [link]
    )
    wait_until(lambda: "ZeroDivisionError: a fault of the driver" in stats(pipeline)["state"])
    wait_until(lambda: len(link.mattes) > 5)
    assert stats(pipeline)["state"] == "running"


def test_a_source_that_can_never_work_ends_the_run_with_its_reason(start: Start) -> None:
    def open_source() -> Source:
        raise ConfigError("no such kind of source")

    pipeline = start(open_source, ColourModel())
    assert pipeline.wait(20.0)
    assert stats(pipeline)["state"] == "failed: no such kind of source"


def test_the_stream_goes_on_while_the_model_fails(start: Start) -> None:
    link, model = CollectingLink(), ColourModel()
    pipeline = start(lambda: SceneSource(SCENE), model, [link])
    wait_until(lambda: len(link.mattes) > 10)
    model.fail_with = RuntimeError("out of memory")
    wait_until(lambda: stats(pipeline)["errors"] is not None)
    assert stats(pipeline)["errors"] == "RuntimeError: out of memory"
    encodes, mattes = stats(pipeline)["encodes"], len(link.mattes)
    wait_until(lambda: len(link.mattes) > mattes + 30)
    assert stats(pipeline)["encodes"] == encodes
    assert link.mattes[-1].anchor_seq <= model.encoded[-1]
    model.fail_with = None
    wait_until(lambda: stats(pipeline)["encodes"] > encodes)
    wait_until(lambda: stats(pipeline)["errors"] is None)
    wait_until(lambda: link.mattes[-1].anchor_seq == model.encoded[-1])


@pytest.mark.parametrize("fault", ["shape", "nan"])
def test_nonsense_from_the_model_is_an_error_and_not_shown(start: Start, fault: str) -> None:
    class Nonsense(ColourModel):
        def decode(self, scene: Any, embedding: Any) -> Any:
            decoded = super().decode(scene, embedding)
            if fault == "nan":
                decoded.logits[0, 0, 0] = np.nan
                return decoded
            return type(decoded)(logits=decoded.logits[0], confidence=decoded.confidence)

    link = CollectingLink()
    pipeline = start(lambda: SceneSource(SCENE), Nonsense(), [link])
    wait_until(lambda: stats(pipeline)["errors"] is not None)
    assert stats(pipeline)["errors"].startswith("ModelError: expected")
    assert link.mattes == []


def test_a_scene_cut_is_encoded_at_once(start: Start) -> None:
    class Cutting(SceneSource):
        """Red on textures, then from frame 40 on red on a chequered floor."""

        def read(self, timeout_s: float) -> Frame | None:
            frame = super().read(timeout_s)
            if frame is None or frame.info.seq < 40:
                return frame
            floor = (np.indices((6, 8)).sum(0) % 2 * 255).astype(np.uint8)
            pixels = floor.repeat(30, 0)[:176].repeat(40, 1)[..., np.newaxis].repeat(3, -1)
            red = SCENE.red_alpha(frame.info.seq) > 0.5
            return Frame(info=frame.info, pixels=np.where(red[..., None], frame.pixels, pixels))

    link, model = CollectingLink(), ColourModel()
    start(lambda: Cutting(SCENE), model, [link], encode_hz=0.1)
    wait_until(lambda: bool(link.mattes) and link.mattes[-1].info.seq > 60)
    assert len(model.encoded) == 2
    assert 40 <= model.encoded[1] < 150  # encode_hz alone would come some 600 frames later
    after = [matte for matte in link.mattes if matte.info.seq >= 40]
    assert {matte.anchor_seq for matte in after} == {model.encoded[1]}
    assert iou(after[0].alpha[..., 0], SCENE.red_alpha(after[0].info.seq)) > 0.7


def test_a_link_that_fails_does_not_stop_the_others(start: Start) -> None:
    good, bad = CollectingLink("good:"), CollectingLink("bad:")
    bad.fail_with = OSError("no room")
    pipeline = start(lambda: SceneSource(SCENE), ColourModel(), [bad, good])
    wait_until(lambda: len(good.mattes) > 10)
    links = {entry["address"]: entry for entry in stats(pipeline)["links"]}
    assert links["bad:"]["errors"] > 0
    assert links["good:"]["errors"] == 0
    good.fail_with = OSError("no room either")
    wait_until(lambda: "link_error:bad:" in stats(pipeline)["dropped"])
    bad.fail_with = None
    wait_until(lambda: len(bad.mattes) > 10)


def test_pictures_of_every_format_are_taken(start: Start) -> None:
    class Formats(SceneSource):
        def read(self, timeout_s: float) -> Frame | None:
            frame = super().read(timeout_s)
            if frame is None:
                return None
            opaque = np.full((*frame.size_hw, 1), 255, np.uint8)
            rgba = np.concatenate([frame.pixels, opaque], axis=-1)
            half = (rgba / 255.0).astype(np.float16)
            return Frame(info=frame.info, pixels=(rgba, half)[frame.info.seq % 2])

    link = CollectingLink()
    start(lambda: Formats(SCENE), ColourModel(), [link])
    wait_until(lambda: len({m.info.seq % 2 for m in link.mattes}) == 2)
    last: Matte = link.mattes[-1]
    assert iou(last.alpha[..., 0], SCENE.red_alpha(last.info.seq)) > 0.5


def test_mattes_arrive_through_shared_memory(start: Start) -> None:
    link = open_server_link("shm:pm-pipe-test")
    try:
        pipeline = start(lambda: SceneSource(SCENE), ColourModel(), [link])
        reader = open_client_link("shm:pm-pipe-test")
        try:
            got: list[Matte] = []

            def read() -> bool:
                matte = reader.latest_matte(0.1)
                if matte is not None:
                    got.append(matte)
                return len(got) >= 10

            wait_until(read)
            for matte in got:
                assert iou(matte.alpha[..., 0], SCENE.red_alpha(matte.info.seq)) > 0.5
        finally:
            reader.close()
        pipeline.stop()
    finally:
        link.close()
