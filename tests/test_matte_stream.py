import numpy as np
import pytest
from moving_scene import ColourModel, MovingScene, iou
from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import ModelError
from promptmatte.frame import Frame, FrameInfo, Matte
from promptmatte.matte.still import still_matte
from promptmatte.matte.stream import MatteStream
from promptmatte.models.protocol import Decoded
from promptmatte.prompts import Prompt, PromptSet

RED = PromptSet(version=3, prompts=(Prompt(text="red"),))
SCENE = MovingScene(speed=3.0)


def found(frame: Frame, prompts: PromptSet = RED) -> Decoded:
    model = ColourModel()
    return model.decode(model.encode(frame), model.embed(prompts))


def stepped(stream: MatteStream, frame: Frame) -> Matte:
    matte = stream.step(frame)
    assert matte is not None
    return matte


@pytest.fixture
def stream() -> MatteStream:
    return MatteStream(PipelineConfig(history_frames=8))


def test_no_matte_before_the_first_anchor(stream: MatteStream) -> None:
    assert stream.step(SCENE.frame(0)) is None
    assert stream.anchor(SCENE.frame(0).info, found(SCENE.frame(0)), RED)
    assert stream.step(SCENE.frame(1)) is not None


def test_a_matte_names_its_frame_and_its_anchor(stream: MatteStream) -> None:
    for index in range(4):
        stream.step(SCENE.frame(index))
    assert stream.anchor(SCENE.frame(1).info, found(SCENE.frame(1)), RED)
    matte = stepped(stream, SCENE.frame(4))
    assert matte.info == SCENE.frame(4).info
    assert matte.anchor_seq == 1
    assert matte.age_ms == pytest.approx(50.0, abs=0.01)
    assert matte.confidence == (0.9,)
    assert matte.prompts_version == 3


def test_a_late_anchor_is_fast_forwarded(stream: MatteStream) -> None:
    for index in range(8):
        stream.step(SCENE.frame(index))
    stream.anchor(SCENE.frame(1).info, found(SCENE.frame(1)), RED)
    matte = stepped(stream, SCENE.frame(8))
    truth = SCENE.red_alpha(8)
    assert iou(matte.alpha[..., 0], truth) > iou(SCENE.red_alpha(1), truth) + 0.2


def test_an_anchor_of_the_very_frame_fits_it(stream: MatteStream) -> None:
    frame = SCENE.frame(5)
    assert stream.anchor(frame.info, found(frame), RED)
    matte = stepped(stream, frame)
    assert iou(matte.alpha[..., 0], SCENE.red_alpha(5)) > 0.95
    assert matte.age_ms == 0.0


def test_an_anchor_too_old_is_refused_and_the_old_one_stays(stream: MatteStream) -> None:
    stream.step(SCENE.frame(0))
    stream.anchor(SCENE.frame(0).info, found(SCENE.frame(0)), RED)
    for index in range(1, 20):
        stream.step(SCENE.frame(index))
    assert not stream.anchor(SCENE.frame(3).info, found(SCENE.frame(3)), RED)
    assert stepped(stream, SCENE.frame(20)).anchor_seq == 0


def test_a_held_frame_can_be_anchored_however_late(stream: MatteStream) -> None:
    stream.step(SCENE.frame(0))
    stream.hold(SCENE.frame(0).info)
    for index in range(1, 30):
        stream.step(SCENE.frame(index))
    assert stream.anchor(SCENE.frame(0).info, found(SCENE.frame(0)), RED)
    assert stepped(stream, SCENE.frame(30)).anchor_seq == 0


def test_a_mask_can_belong_to_a_later_frame_of_the_same_picture(stream: MatteStream) -> None:
    decoded = found(SCENE.frame(0))
    for seq in range(20):
        info = FrameInfo(stream_id=1, seq=seq, pts_ns=0, captured_ns=seq * 10_000_000)
        stream.step(Frame(info=info, pixels=SCENE.picture(0)))
    assert not stream.anchor(SCENE.frame(0).info, decoded, RED)
    assert stream.anchor(SCENE.frame(0).info, decoded, RED, at=info)
    matte = stepped(
        stream,
        Frame(
            info=FrameInfo(stream_id=1, seq=20, pts_ns=0, captured_ns=200_000_000),
            pixels=SCENE.picture(0),
        ),
    )
    assert (matte.anchor_seq, matte.age_ms) == (0, 200.0)
    assert iou(matte.alpha[..., 0], SCENE.red_alpha(0)) > 0.95


@pytest.mark.parametrize("change", ["size", "stream", "cut"])
def test_a_new_shot_shows_nothing_of_the_old_one(stream: MatteStream, change: str) -> None:
    stream.anchor(SCENE.frame(0).info, found(SCENE.frame(0)), RED)
    stepped(stream, SCENE.frame(0))
    blocks = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    other = {
        "size": MovingScene(size_hw=(90, 160)).frame(1),
        "stream": SCENE.frame(1, stream_id=2),
        "cut": Frame(info=SCENE.frame(1).info, pixels=blocks.repeat(30, 0).repeat(40, 1)),
    }[change]
    assert stream.step(other) is None
    assert stream.shot_start == other.info
    stream.anchor(SCENE.frame(0).info, found(SCENE.frame(0)), RED)
    assert (
        stream.step(
            Frame(
                info=FrameInfo(stream_id=other.info.stream_id, seq=2, pts_ns=0, captured_ns=0),
                pixels=other.pixels.copy(),
            )
        )
        is None
    )


@pytest.mark.parametrize("confidence", [0.0, 0.29, float("nan"), float("inf"), -3.0])
def test_low_or_nonsense_confidence_gives_an_empty_alpha(
    stream: MatteStream, confidence: float
) -> None:
    frame = SCENE.frame(0)
    decoded = Decoded(logits=found(frame).logits, confidence=(confidence,))
    stream.anchor(frame.info, decoded, RED)
    matte = stepped(stream, frame)
    assert not matte.alpha.any()
    assert matte.confidence == (confidence if 0.0 <= confidence <= 1.0 else 0.0,)


def test_the_absent_of_two_prompts_is_empty(stream: MatteStream) -> None:
    frame = SCENE.frame(0)
    prompts = PromptSet(version=1, prompts=(Prompt(text="zebra"), Prompt(text="red")))
    stream.anchor(frame.info, found(frame, prompts), prompts)
    matte = stepped(stream, frame)
    assert matte.alpha.shape == (*SCENE.size_hw, 4)
    assert [bool(matte.alpha[..., c].any()) for c in range(4)] == [False, True, False, False]


def test_no_prompts_give_empty_mattes_at_once(stream: MatteStream) -> None:
    none = PromptSet(version=4)
    stream.anchor(SCENE.frame(0).info, found(SCENE.frame(0)), RED)
    assert stepped(stream, SCENE.frame(0)).alpha.any()
    nothing = Decoded(logits=np.zeros((0, 1, 1), np.float32), confidence=())
    assert stream.anchor(SCENE.frame(0).info, nothing, none)
    for frame in (SCENE.frame(1), SCENE.frame(2, stream_id=2)):
        matte = stepped(stream, frame)
        assert matte.alpha.shape == (*SCENE.size_hw, 1)
        assert not matte.alpha.any()
        assert (matte.anchor_seq, matte.confidence, matte.prompts_version) == (-1, (), 4)


def test_an_absent_thing_inverted_is_everything(stream: MatteStream) -> None:
    stream.set_controls(Controls().replaced({"invert": True}))
    frame = SCENE.frame(0)
    stream.anchor(frame.info, Decoded(logits=found(frame).logits, confidence=(0.0,)), RED)
    assert stepped(stream, frame).alpha.min() == 255


def test_controls_and_fill_show_in_the_next_matte(stream: MatteStream) -> None:
    frame = SCENE.frame(0)
    stream.anchor(frame.info, found(frame), RED)
    plain = stepped(stream, frame)
    assert plain.fill is None
    stream.set_controls(Controls().replaced({"expand": 10.0, "fill": "picture"}))
    wider = stepped(stream, SCENE.frame(1))
    assert (wider.alpha >= 128).sum() > 1.05 * (plain.alpha >= 128).sum()
    assert wider.fill is not None
    assert np.array_equal(wider.fill, SCENE.picture(1))
    stream.set_controls(Controls().replaced({"fill": "foreground"}))
    cut = stepped(stream, SCENE.frame(2))
    assert cut.fill is not None
    assert np.array_equal(cut.fill[..., 3], cut.alpha[..., 0])
    assert not cut.fill[cut.alpha[..., 0] == 0].any()


def test_a_lost_prompt_fades_and_is_not_frozen(stream: MatteStream) -> None:
    stream.anchor(SCENE.frame(0).info, found(SCENE.frame(0)), RED)
    covers = [float(stepped(stream, SCENE.frame(0)).alpha.max())]
    gone = Decoded(logits=np.full((1, 88, 160), -9.0, np.float32), confidence=(0.0,))
    for index in range(1, 30):
        if index == 2:
            stream.anchor(SCENE.frame(1).info, gone, RED)
        covers.append(float(stepped(stream, SCENE.frame(index)).alpha.max()))
    assert covers[3] == 255  # held: the default is 0.3 s, 18 frames here
    assert covers[-1] == 0
    assert min(covers[3:17]) > 0
    assert sorted(covers[3:], reverse=True) == covers[3:]


def test_reset_forgets_the_anchor(stream: MatteStream) -> None:
    stream.anchor(SCENE.frame(0).info, found(SCENE.frame(0)), RED)
    stepped(stream, SCENE.frame(0))
    stream.reset()
    assert stream.step(SCENE.frame(1)) is None


def test_a_still_has_its_matte_and_only_from_its_own_scene() -> None:
    model, frame = ColourModel(), SCENE.frame(9)
    scene = model.encode(frame)
    matte = still_matte(model, scene, frame, RED, config=PipelineConfig())
    assert iou(matte.alpha[..., 0], SCENE.red_alpha(9)) > 0.95
    with pytest.raises(ModelError, match="expected a Scene of"):
        still_matte(model, scene, SCENE.frame(10), RED, config=PipelineConfig())
