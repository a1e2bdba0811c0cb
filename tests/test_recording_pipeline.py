"""A pipeline that records: the right pictures and times, and mattes that do not wait."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from links_testing import wait_for
from moving_scene import CollectingLink, ColourModel, MovingScene, SceneSource, iou
from promptmatte.clock import RealClock
from promptmatte.config import PipelineConfig
from promptmatte.frame import Matte
from promptmatte.pipeline import Pipeline
from promptmatte.prompts import Prompt
from promptmatte.recording.recorder import Recorder
from promptmatte.recording.take import Limits
from promptmatte.recording.target import RecordingTarget
from recording_testing import HungDisk, read_back

from benchmarks.faults.recorded import SmallDisk

PATIENCE_S = 120.0
SCENE = MovingScene(speed=4.0, size_hw=(180, 320))


def pipeline_of(source: SceneSource, link: CollectingLink, recorder: Recorder) -> Pipeline:
    pipeline = Pipeline(
        open_source=lambda: source,
        model=ColourModel(),
        links=[link],
        config=PipelineConfig(),
        clock=RealClock(),
        recorder=recorder,
    )
    pipeline.set_prompts((Prompt(text="red"),))
    recorder.switch(True)
    pipeline.start()
    return pipeline


def away(rgba: np.ndarray, picture: np.ndarray) -> float:
    return float(np.abs(rgba[..., :3].astype(int) - picture).mean())


@pytest.mark.parametrize("name", ["a.mov", "a.webm", "a"])
def test_every_matte_is_recorded_with_its_own_picture_at_its_own_time(
    tmp_path: Path, name: str
) -> None:
    link = CollectingLink()
    recorder = Recorder(RecordingTarget(path=tmp_path / name), what="rgba", clock=RealClock())
    pipeline = pipeline_of(SceneSource(SCENE, frames=60, fps=20.0), link, recorder)
    assert pipeline.wait(PATIENCE_S)
    pipeline.stop()
    status = pipeline.status()["recording"]
    assert (status["state"], status["dropped"]) == ("finished", 0)
    shown = read_back(tmp_path / name)
    mattes: list[Matte] = link.mattes
    assert status["frames"] == len(shown) == len(mattes) > 10
    captured_s = np.array([matte.info.captured_ns for matte in mattes]) / 1e9
    np.testing.assert_allclose(
        [time_s for time_s, _ in shown], captured_s - captured_s[0], atol=1.1e-3
    )
    for (_, rgba), matte in zip(shown, mattes, strict=True):
        seq = matte.info.seq
        assert np.abs(rgba[..., 3].astype(int) - matte.alpha[..., 0]).mean() < 3
        own = away(rgba, SCENE.picture(seq))
        assert own < min(
            away(rgba, SCENE.picture(seq + step)) for step in (-1, 1) if seq + step >= 0
        )
    overlaps = [
        iou(rgba[..., 3], SCENE.red_alpha(matte.info.seq))
        for (_, rgba), matte in zip(shown, mattes, strict=True)
    ]
    assert np.median(overlaps) > 0.8


def test_a_disk_that_hangs_holds_no_matte_up(tmp_path: Path) -> None:
    disk, link = HungDisk(), CollectingLink()
    target = RecordingTarget(path=tmp_path / "a.mov", create=disk.create)
    recorder = Recorder(
        target, what="rgba", clock=RealClock(), limits=Limits(frames=5, stall_s=0.5)
    )
    pipeline = pipeline_of(SceneSource(SCENE, fps=20.0), link, recorder)
    try:
        assert disk.asked.wait(PATIENCE_S)
        wait_for(lambda: recorder.status()["state"] == "failed", PATIENCE_S)
        status = pipeline.status()
        assert "nothing could be written" in status["recording"]["error"]
        assert status["recording"]["dropped"] > 0
        sent = len(link.mattes)
        wait_for(lambda: len(link.mattes) > sent + 20, PATIENCE_S)
        assert pipeline.status()["state"] == "running"
    finally:
        disk.let_go()
        pipeline.stop()


def test_a_full_disk_ends_the_recording_and_the_next_one_begins(tmp_path: Path) -> None:
    link = CollectingLink()
    room_bytes = [400_000]
    target = RecordingTarget(
        path=tmp_path / "a.mov", create=lambda path: SmallDisk(path, room_bytes[0])
    )
    recorder = Recorder(target, what="rgba", clock=RealClock())
    pipeline = pipeline_of(SceneSource(SCENE, fps=20.0), link, recorder)
    try:
        wait_for(lambda: recorder.status()["state"] == "failed", PATIENCE_S)
        assert "No space left" in pipeline.status()["recording"]["error"]
        sent = len(link.mattes)
        wait_for(lambda: len(link.mattes) > sent + 20, PATIENCE_S)
        room_bytes[0] = 10**9
        assert pipeline.record(True)["state"] == "recording"
        wait_for(lambda: recorder.status()["frames"] > 20, PATIENCE_S)
        assert pipeline.record(False)["state"] in ("finishing", "finished")
    finally:
        pipeline.stop()
    assert recorder.status()["state"] == "finished"
    assert len(read_back(tmp_path / "a.mov")) >= 1
    assert len(read_back(tmp_path / "a-2.mov")) > 20
