"""Video files: pacing, looping, damage, odd times."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from promptmatte.errors import SourceEnded, SourceError
from promptmatte.sources import open_source, probe_video, read_video
from promptmatte.sources.video import Timeline, VideoSource
from sources_testing import SimulatedClock, index_of, play_out, write_video

MS = 1_000_000


def test_every_frame_comes_at_its_time_and_not_before(tmp_path: Path) -> None:
    clock = SimulatedClock()
    source = VideoSource(write_video(tmp_path / "clip.mp4"), clock=clock, loop=False)
    start_ns = clock.now_ns()
    frames = [source.read(0.0)]
    assert source.read(0.030) is None  # 25 fps: due after 40 ms
    while len(frames) < 12:
        frames.append(source.read(1.0))
    assert all(frame is not None for frame in frames)
    assert [index_of(f) for f in frames] == list(range(12))
    assert [f.info.seq for f in frames] == list(range(12))
    assert [f.info.pts_ns for f in frames] == [i * 40 * MS for i in range(12)]
    assert [f.info.captured_ns - start_ns for f in frames] == [i * 40 * MS for i in range(12)]
    assert len({f.info.stream_id for f in frames}) == 1
    with pytest.raises(SourceEnded, match=r"clip\.mp4"):
        source.read(1.0)
    source.close()
    source.close()


def test_a_loop_goes_on_without_a_jump_in_time(tmp_path: Path) -> None:
    clock = SimulatedClock()
    source = VideoSource(write_video(tmp_path / "clip.mp4", 5), clock=clock)
    frames = [source.read(1.0) for _ in range(23)]
    assert [index_of(f) for f in frames] == [i % 5 for i in range(23)]
    assert [f.info.pts_ns for f in frames] == [i * 40 * MS for i in range(23)]
    source.close()


def test_a_slow_reader_gets_every_frame_and_a_long_stall_no_rush(tmp_path: Path) -> None:
    clock = SimulatedClock()
    source = VideoSource(write_video(tmp_path / "clip.mp4"), clock=clock)
    assert source.read(0.0) is not None
    clock.sleep_s(0.2)  # five frames late: they come without waiting
    assert [index_of(source.read(0.0)) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert source.read(0.0) is None
    clock.sleep_s(60.0)  # a stall: the schedule starts anew
    assert index_of(source.read(0.0)) == 6
    assert source.read(0.0) is None
    source.close()


def test_a_name_in_any_script_opens(tmp_path: Path) -> None:
    path = write_video(tmp_path / "größe 名前 %03d?.mp4")
    source = open_source(str(path), clock=SimulatedClock())
    assert source.name == str(path)
    assert index_of(source.read(1.0)) == 0
    source.close()


def test_offline_reading_gives_all_frames_and_what_the_file_is(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 9, fps=20)
    frames = list(read_video(path))
    assert [index_of(f) for f in frames] == list(range(9))
    assert [f.info.pts_ns for f in frames] == [i * 50 * MS for i in range(9)]
    info = probe_video(path)
    assert (info.size_hw, info.fps, info.frames) == ((48, 64), 20.0, 9)


@pytest.mark.parametrize(
    ("rotation", "corner"), [(0, (0, 0)), (90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))]
)
def test_phone_videos_stand_upright(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    path = write_video(tmp_path / "phone.mp4", rotation=rotation)
    frame = next(read_video(path))
    assert frame.size_hw == ((48, 64) if rotation in (0, 180) else (64, 48))
    assert probe_video(path).size_hw == frame.size_hw
    assert frame.pixels[corner].min() > 200
    corners = [frame.pixels[y, x].min() > 200 for y in (0, -1) for x in (0, -1)]
    assert sum(corners) == 1


def test_a_file_without_times_plays_at_its_frame_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "raw.m4v")  # elementary stream: no container, no pts
    times = [frame.info.pts_ns for frame in read_video(path)]
    assert len(times) >= 11
    assert (np.diff(times) == 40 * MS).all()


def test_a_truncated_file_plays_what_is_left_and_loops(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 20).read_bytes()
    path = tmp_path / "half.mkv"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    source = VideoSource(path, clock=SimulatedClock())
    indices = [index_of(source.read(1.0)) for _ in range(40)]
    assert max(indices) < 19
    assert indices.count(0) >= 2
    source.close()


def test_flipped_bytes_are_survived(tmp_path: Path) -> None:
    whole = np.frombuffer(write_video(tmp_path / "whole.ts", 40).read_bytes(), np.uint8)
    damaged, shown = 0, 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        data = whole.copy()
        hit = rng.integers(len(data) // 10, len(data), len(data) // 60)
        data[hit] = rng.integers(0, 256, hit.size)
        path = tmp_path / f"damaged{seed}.ts"
        path.write_bytes(data.tobytes())
        source = VideoSource(path, clock=SimulatedClock(), loop=False)
        frames, error = play_out(source)
        assert isinstance(error, SourceEnded)
        times = [frame.info.pts_ns for frame in frames]
        assert (np.diff(times) > 0).all()
        shown += len(times)
        damaged += source.damaged
        source.close()
    assert shown > 40
    assert damaged > 0


@pytest.mark.parametrize("content", [b"", b"this is no video at all " * 400])
def test_a_file_that_is_no_video_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    for attempt in (
        lambda: VideoSource(path, clock=SimulatedClock()),
        lambda: probe_video(path),
        lambda: list(read_video(path)),
    ):
        with pytest.raises(SourceError, match=r"notes\.mp4") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_a_file_whose_pictures_are_all_damaged_is_refused(tmp_path: Path) -> None:
    data = bytearray(write_video(tmp_path / "whole.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov")
    data[start:end] = bytes(end - start)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(data)
    for attempt in (
        lambda: VideoSource(path, clock=SimulatedClock()),
        lambda: probe_video(path),
        lambda: list(read_video(path)),
    ):
        with pytest.raises(SourceError, match=r"nothing in .* can be decoded"):
            attempt()


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(SourceError, match="without a picture stream"):
        VideoSource(path, clock=SimulatedClock())


def test_times_always_move_on() -> None:
    def run(*pts_ms: int | None) -> list[int]:
        timeline = Timeline(fps=100)
        return [timeline.next_ns(None if t is None else t * MS) // MS for t in pts_ms]

    assert run(500, 520, 525) == [0, 20, 25]
    assert run(None, None, 40, 45) == [0, 10, 20, 25]
    assert run(0, 20, 10, 40) == [0, 20, 30, 40]  # one late time
    assert run(0, 20, 20, 20, 60) == [0, 20, 30, 40, 60]
    assert run(0, 10, 900_000, 900_020) == [0, 10, 20, 40]  # a far jump
    assert run(900_000, 900_010, 0, 20) == [0, 10, 20, 40]  # begun anew
    assert run(-40, -20, 0) == [0, 20, 40]


def test_a_second_round_keeps_the_times_of_the_file() -> None:
    timeline = Timeline(fps=100)
    assert [timeline.next_ns(t * MS) // MS for t in (5, 35, 37)] == [0, 30, 32]
    timeline.restart()
    assert [timeline.next_ns(t * MS) // MS for t in (5, 35, 37)] == [42, 72, 74]
