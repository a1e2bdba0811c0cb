"""Takes on real files: what is in them, and what becomes of them when the disk fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from links_testing import wait_for
from promptmatte.clock import RealClock
from promptmatte.errors import ConfigError, RecordingError
from promptmatte.frame import Frame, Matte
from promptmatte.recording.pictures import paint_cut_out, paint_matte
from promptmatte.recording.recorder import Recorder
from promptmatte.recording.take import Limits, Take
from promptmatte.recording.target import RecordingTarget
from recording_testing import HungDisk, noise, read_back

from benchmarks.faults.recorded import SmallDisk, number_in, numbered, pair

PATIENCE_S = 120.0
STEPS_MS = (0, 33, 67, 100, 400, 433, 460, 1500, 1533, 1567)
"""When frames come: at 30 a second, with some missing."""


class SetClock:
    """Stands still until it is set."""

    now = 10**12

    def now_ns(self) -> int:
        return self.now

    def sleep_s(self, seconds: float) -> None:
        raise NotImplementedError


def take_of(
    pairs: list[tuple[Frame, Matte]], target: RecordingTarget, painter: object = paint_cut_out
) -> Take:
    """A take of all of them, finished."""
    clock = SetClock()
    take = Take(target, painter, clock=clock)
    for frame, matte in pairs:
        clock.now = frame.info.captured_ns + 20_000_000
        take.offer(frame, matte)
    take.finish()
    assert take.join(PATIENCE_S)
    return take


def timed(prompts: int = 1) -> list[tuple[Frame, Matte]]:
    start_ns = SetClock.now
    return [
        pair(40 + index, captured_ns=start_ns + ms * 1_000_000, prompts=prompts)
        for index, ms in enumerate(STEPS_MS)
    ]


@pytest.mark.parametrize(
    ("name", "tick_s", "error"), [("a.mov", 1e-4, 3), ("a.webm", 1e-3, 8), ("a", 1e-6, 0)]
)
def test_each_picture_is_there_with_its_own_alpha_at_its_own_time(
    tmp_path: Path, name: str, tick_s: float, error: float
) -> None:
    take = take_of(timed(), RecordingTarget(path=tmp_path / name))
    status = take.status()
    assert (status["state"], status["error"], status["dropped"]) == ("finished", None, 0)
    assert (status["file"], status["files"]) == (str(tmp_path / name), 1)
    assert status["frames"] == len(STEPS_MS)
    assert status["seconds"] == pytest.approx(STEPS_MS[-1] / 1e3)
    shown = read_back(tmp_path / name)
    np.testing.assert_allclose(
        [time_s for time_s, _ in shown], np.array(STEPS_MS) / 1e3, atol=2 * tick_s
    )
    for (_, rgba), (frame, matte) in zip(shown, timed(), strict=True):
        assert number_in(rgba[..., 0]) == number_in(rgba[..., 3]) == frame.info.seq
        assert np.abs(rgba[..., :3].astype(int) - frame.pixels).mean() <= error
        assert np.abs(rgba[..., 3].astype(int) - matte.alpha[..., 0]).mean() <= error


@pytest.mark.parametrize("prompts", [1, 2, 4])
@pytest.mark.parametrize(("name", "error"), [("a.mov", 3), ("a", 0)])
def test_the_mattes_alone_are_grey_or_a_channel_each(
    tmp_path: Path, name: str, error: float, prompts: int
) -> None:
    take_of(timed(prompts), RecordingTarget(path=tmp_path / name), paint_matte)
    for (_, rgba), (_, matte) in zip(read_back(tmp_path / name), timed(prompts), strict=True):
        expected = np.repeat(matte.alpha, 4, axis=2) if prompts == 1 else matte.alpha.copy()
        if prompts < 4:
            expected[..., 3] = 255
        assert np.abs(rgba.astype(int) - expected).mean(axis=(0, 1)).max() <= error


def test_the_alpha_of_several_prompts_is_where_any_of_them_is(tmp_path: Path) -> None:
    take_of(timed(3), RecordingTarget(path=tmp_path / "a"))
    for (_, rgba), (frame, matte) in zip(read_back(tmp_path / "a"), timed(3), strict=True):
        np.testing.assert_array_equal(rgba[..., 3], matte.alpha.max(axis=2))
        np.testing.assert_array_equal(rgba[..., :3], frame.pixels)


@pytest.mark.parametrize("name", ["a.mov", "a.webm", "a"])
def test_another_size_goes_into_another_file(tmp_path: Path, name: str) -> None:
    sizes = [(64, 128), (64, 128), (80, 144), (64, 128)]
    pairs = [
        pair(seq, captured_ns=SetClock.now + seq * 40_000_000, size_hw=size_hw)
        for seq, size_hw in enumerate(sizes)
    ]
    status = take_of(pairs, RecordingTarget(path=tmp_path / name)).status()
    names = [name, name.replace("a", "a-2"), name.replace("a", "a-3")]
    shown = [read_back(tmp_path / each) for each in names]
    assert [[number_in(rgba[..., 0]) for _, rgba in each] for each in shown] == [[0, 1], [2], [3]]
    assert [each[0][1].shape[:2] for each in shown] == [(64, 128), (80, 144), (64, 128)]
    assert (status["files"], status["frames"]) == (3, 4)
    assert status["file"] == str(tmp_path / names[2])


@pytest.mark.parametrize("name", ["a.mov", "a.webm"])
def test_a_full_disk_ends_the_take_and_the_file_plays(tmp_path: Path, name: str) -> None:
    room_bytes = 600_000
    target = RecordingTarget(path=tmp_path / name, create=lambda path: SmallDisk(path, room_bytes))
    clock = SetClock()
    take = Take(target, paint_cut_out, clock=clock)
    offered = 0
    while take.open:
        clock.now += 33_000_000
        take.offer(*noise(offered, captured_ns=clock.now))
        offered += 1
        wait_for(lambda count=offered: take.status()["frames"] >= count or not take.open)
    assert take.join(PATIENCE_S)
    status = take.status()
    assert status["state"] == "failed"
    assert "No space left on device" in status["error"]
    assert str(tmp_path / name) in status["error"]
    assert "\n" not in status["error"]
    assert (tmp_path / name).stat().st_size == room_bytes
    shown = read_back(tmp_path / name)
    assert status["frames"] - 20 < len(shown) <= status["frames"]
    assert len(shown) >= 10
    for seq, (_, rgba) in enumerate(shown):
        alpha = noise(seq, captured_ns=0)[1].alpha[..., 0]
        assert np.abs(rgba[..., 3].astype(int) - alpha).mean() < 20
    take.offer(*noise(offered, captured_ns=clock.now))
    assert take.status() == status


def test_a_disk_that_fills_while_the_file_is_finished_leaves_it_as_it_was(tmp_path: Path) -> None:
    """The index of a MOV is written last; without it the fragments still play."""
    pairs = [noise(seq, captured_ns=SetClock.now + seq * 33_000_000) for seq in range(30)]
    whole = tmp_path / "whole.mov"
    take_of(pairs, RecordingTarget(path=whole))
    index_bytes = whole.read_bytes().rindex(b"moov") - 4
    cut = tmp_path / "cut.mov"
    target = RecordingTarget(path=cut, create=lambda path: SmallDisk(path, index_bytes + 100))
    assert take_of(pairs, target).status()["state"] == "failed"
    assert len(read_back(cut)) == len(pairs)


@pytest.fixture
def hung() -> Iterator[HungDisk]:
    disk = HungDisk()
    yield disk
    disk.let_go()


@pytest.mark.parametrize("name", ["a.mov", "a.webm"])
def test_a_disk_that_hangs_holds_nobody_up_and_is_given_up(
    tmp_path: Path, hung: HungDisk, name: str
) -> None:
    target = RecordingTarget(path=tmp_path / name, create=hung.create)
    clock = SetClock()
    take = Take(target, paint_cut_out, clock=clock, limits=Limits(frames=5, stall_s=3.0))
    take.offer(*pair(0, captured_ns=clock.now))
    assert hung.asked.wait(PATIENCE_S)
    for seq in range(1, 9):
        clock.now += 33_000_000
        take.offer(*pair(seq, captured_ns=clock.now))
    status = take.status()
    assert (status["state"], status["frames"], status["dropped"]) == ("recording", 0, 3)
    clock.now += 3_000_000_000
    take.offer(*pair(9, captured_ns=clock.now))
    status = take.status()
    assert (status["state"], status["dropped"]) == ("failed", 4)
    assert "nothing could be written for 3 s" in status["error"]
    assert take.writing
    hung.let_go()
    assert take.join(PATIENCE_S)
    assert take.status()["error"] == status["error"]
    [(_, rgba)] = read_back(tmp_path / name)
    assert number_in(rgba[..., 3]) == 0


@pytest.mark.parametrize("by", ["frames", "bytes"])
def test_a_slow_disk_costs_frames_but_not_the_speed(
    tmp_path: Path, hung: HungDisk, by: str
) -> None:
    frame, matte = pair(0, captured_ns=0)
    limits = {
        "frames": Limits(frames=4),
        "bytes": Limits(bytes=4 * (frame.pixels.nbytes + matte.alpha.nbytes)),
    }[by]
    target = RecordingTarget(path=tmp_path / "a.mov", create=hung.create)
    clock = SetClock()
    take = Take(target, paint_cut_out, clock=clock, limits=limits)
    take.offer(*pair(0, captured_ns=clock.now))
    assert hung.asked.wait(PATIENCE_S)
    for seq in range(1, 21):
        clock.now += 40_000_000
        take.offer(*pair(seq, captured_ns=clock.now))
    hung.let_go()
    wait_for(lambda: take.status()["frames"] == 5, PATIENCE_S)
    clock.now += 40_000_000
    take.offer(*pair(21, captured_ns=clock.now))
    take.finish()
    assert take.join(PATIENCE_S)
    status = take.status()
    assert (status["state"], status["frames"], status["dropped"]) == ("finished", 6, 16)
    shown = read_back(tmp_path / "a.mov")
    assert [number_in(rgba[..., 0]) for _, rgba in shown] == [0, 1, 2, 3, 4, 21]
    assert shown[-1][0] == pytest.approx(21 * 0.04, abs=1e-3)


def test_takes_follow_each_other_and_overwrite_nothing(tmp_path: Path) -> None:
    (tmp_path / "show.mov").write_bytes(b"precious")
    recorder = Recorder(RecordingTarget(path=tmp_path / "show.mov"), what="rgba", clock=RealClock())
    assert recorder.status()["state"] == "off"
    recorder.offer(*pair(1, captured_ns=RealClock().now_ns()))
    recorder.switch(False)
    for number in (10, 20):
        recorder.switch(True)
        recorder.switch(True)
        recorder.offer(*pair(number, captured_ns=RealClock().now_ns()))
        recorder.switch(False)
        recorder.offer(*pair(number + 1, captured_ns=RealClock().now_ns()))
        wait_for(lambda: recorder.status()["state"] == "finished", PATIENCE_S)
    recorder.close()
    assert (tmp_path / "show.mov").read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 3
    for number, name in ((10, "show-2.mov"), (20, "show-3.mov")):
        [(_, rgba)] = read_back(tmp_path / name)
        assert number_in(rgba[..., 0]) == number


def test_a_take_without_frames_leaves_no_file(tmp_path: Path) -> None:
    assert take_of([], RecordingTarget(path=tmp_path / "a.mov")).status()["state"] == "finished"
    assert list(tmp_path.iterdir()) == []


def test_stuck_takes_do_not_pile_up(tmp_path: Path, hung: HungDisk) -> None:
    target = RecordingTarget(path=tmp_path / "a.mov", create=hung.create)
    recorder = Recorder(target, what="rgba", clock=RealClock())
    for number in range(2):
        recorder.switch(True)
        recorder.offer(*pair(number, captured_ns=RealClock().now_ns()))
        recorder.switch(False)
        assert recorder.status()["state"] == "finishing"
    with pytest.raises(RecordingError, match="expected the files of earlier recordings"):
        recorder.switch(True)
    hung.let_go()
    recorder.close()
    files = [read_back(path) for path in (tmp_path / "a.mov", tmp_path / "a-2.mov")]
    assert {number_in(rgba[..., 0]) for [(_, rgba)] in files} == {0, 1}
    recorder.switch(True)
    recorder.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.avi", "ending in .mov (ProRes 4444) or .webm (VP9), or a name without an ending"),
        ("none/a.mov", "in a folder that exists"),
        ("a_%06d.png", "for a folder of PNG files"),
    ],
)
def test_a_target_that_cannot_be_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        RecordingTarget(path=tmp_path / name)
    assert message in str(refusal.value)
    with pytest.raises(ConfigError, match="expected to record rgba or matte; got 'sound'"):
        Recorder(RecordingTarget(path=tmp_path / "a.mov"), what="sound", clock=RealClock())


def test_an_empty_folder_is_used_and_a_full_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    for name, used in (("empty", "empty"), ("full", "full-2")):
        take_of(timed(), RecordingTarget(path=tmp_path / name))
        assert len(read_back(tmp_path / used)) == len(STEPS_MS)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_numbers_are_drawn_and_read() -> None:
    assert [number_in(numbered(seq)) for seq in (0, 1, 170, 255)] == [0, 1, 170, 255]
