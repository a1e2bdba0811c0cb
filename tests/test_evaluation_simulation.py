"""The engine under a simulated clock: what is encoded when, and when it arrives."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from moving_scene import ColourModel, MovingScene
from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import ModelError
from promptmatte.evaluation.simulation import Simulation
from promptmatte.frame import Frame, FrameInfo
from promptmatte.prompts import Prompt, PromptSet

RED = PromptSet(version=1, prompts=(Prompt(text="red"),))


def scene_frame(seq: int, *, speed: float = 3.0) -> Frame:
    scene = MovingScene(size_hw=(90, 160), speed=speed)
    return scene.frame(seq, captured_ns=round(seq * 1e9 / 30))


def blocks(seq: int, *, shot: int) -> Frame:
    """A picture of large black and white blocks, of its own in every shot, with a red part
    that moves."""
    coarse = 200 * np.random.default_rng(shot).integers(0, 2, (5, 8), np.uint8)
    pixels = cv2.cvtColor(
        cv2.resize(coarse, (160, 90), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2RGB
    )
    pixels[30:60, 20 + seq : 60 + seq] = (200, 40, 40)
    time_ns = round(seq * 1e9 / 30)
    info = FrameInfo(stream_id=1, seq=seq, pts_ns=time_ns, captured_ns=time_ns)
    return Frame(info=info, pixels=pixels)


class Run:
    """arrivals: frame -> the encoded frame whose anchor it is the first to have."""

    def __init__(
        self,
        frame: Callable[[int], Frame],
        frames: int,
        *,
        encode_ms: float = 120.0,
        encode_hz: float = 5.0,
        encodable: Callable[[int], bool] = lambda seq: True,
    ) -> None:
        self.model = ColourModel()
        simulation = Simulation(
            model=self.model,
            prompts=RED,
            config=PipelineConfig(),
            controls=Controls().replaced({"encode_hz": encode_hz}),
            encode_ns=round(encode_ms * 1e6),
        )
        self.arrivals: dict[int, int] = {}
        self.fits: dict[int, int] = {}
        self.anchors: list[int | None] = []
        for seq in range(frames):
            matte = simulation.show(frame(seq), encodable=encodable(seq))
            self.anchors.append(None if matte is None else matte.anchor_seq)
            if simulation.arrived is not None:
                self.arrivals[seq] = simulation.arrived.info.seq
                self.fits[seq] = simulation.arrived.at.seq


def test_keyframes_of_5_hz_arrive_120_ms_late() -> None:
    run = Run(scene_frame, 23)
    assert run.model.encoded == [0, 6, 12, 18]
    assert run.arrivals == {4: 0, 10: 6, 16: 12, 22: 18}
    assert run.anchors == [None] * 4 + [0] * 6 + [6] * 6 + [12] * 6 + [18]


def test_an_encoder_slower_than_its_rate_takes_the_newest_frame_when_it_is_free() -> None:
    run = Run(scene_frame, 24, encode_ms=310.0)
    assert run.model.encoded == [0, 9, 18]
    assert run.arrivals == {10: 0, 19: 9}


def test_an_anchor_is_there_for_the_frame_of_the_same_moment() -> None:
    run = Run(scene_frame, 13, encode_ms=200.0)
    assert run.arrivals == {6: 0, 12: 6}
    assert Run(scene_frame, 4, encode_ms=0.0, encode_hz=30.0).arrivals == {0: 0, 1: 1, 2: 2, 3: 3}


def test_a_cut_is_encoded_at_once_by_a_free_encoder() -> None:
    run = Run(lambda seq: blocks(seq, shot=seq // 5), 10)
    assert run.model.encoded == [0, 5]
    assert run.arrivals == {4: 0, 9: 5}
    assert run.anchors == [None] * 4 + [0] + [None] * 4 + [5]


def test_a_cut_waits_for_a_busy_encoder_whose_anchor_is_refused() -> None:
    run = Run(lambda seq: blocks(seq, shot=int(seq >= 8)), 15)
    assert run.model.encoded == [0, 6, 9]  # 6 is done at 320 ms, when 9 is the newest frame
    assert run.arrivals == {4: 0, 10: 6, 14: 9}
    assert run.anchors[8:] == [None] * 6 + [9]


def test_a_still_picture_is_anchored_again_without_an_encode() -> None:
    run = Run(lambda seq: scene_frame(seq, speed=0.0), 14)
    assert run.model.encoded == [0]
    assert run.arrivals == {4: 0, 6: 0, 12: 0}
    assert run.fits == {4: 0, 6: 6, 12: 12}


def test_a_frame_that_cannot_be_encoded_is_only_stepped() -> None:
    run = Run(scene_frame, 12, encodable=lambda seq: seq % 4 == 3)
    assert run.model.encoded == [3, 7]
    assert run.arrivals == {7: 3, 11: 7}
    assert run.anchors[7:] == [3] * 4 + [7]


def test_a_model_that_fails_ends_the_run() -> None:
    model = ColourModel()
    model.fail_with = RuntimeError("out of memory")
    simulation = Simulation(
        model=model, prompts=RED, config=PipelineConfig(), controls=Controls(), encode_ns=0
    )
    with pytest.raises(ModelError, match="the model failed: RuntimeError: out of memory"):
        simulation.show(scene_frame(0))
