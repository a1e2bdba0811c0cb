"""The frames a sender keeps: always the matte's own one or none."""

import random
from collections import deque
from dataclasses import replace

import pytest
import shm_peer
from promptmatte_shm import Frame, FrameDelay, Matte, ShmError


def sent(seq: int, stream_id: int = 1) -> Frame:
    frame = shm_peer.frame(seq % 256, seq=seq)
    return replace(frame, info=replace(frame.info, stream_id=stream_id, captured_ns=seq))


def matte_of(frame: Frame) -> Matte:
    return replace(shm_peer.matte(), info=frame.info)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_late_or_lost_it_is_the_mattes_own_frame_or_none(seed: int) -> None:
    chance = random.Random(seed)
    delay = FrameDelay(8)
    kept: deque[Frame] = deque(maxlen=8)
    on_the_way: list[tuple[int, Frame]] = []
    found = misses = 0
    for now in range(500):
        if chance.random() < 0.9:
            # seq starts anew with every stream, as when a source is opened again
            frame = sent(now % 5, stream_id=now // 5)
            delay.put(frame)
            kept.append(frame)
            if chance.random() < 0.8:
                on_the_way.append((now + chance.randrange(14), frame))
        for late in [entry for entry in on_the_way if entry[0] <= now]:
            on_the_way.remove(late)
            got = delay.of(matte_of(late[1]))
            assert got is (late[1] if late[1] in kept else None)
            found, misses = found + (got is not None), misses + (got is None)
            assert delay.misses == misses
    assert found > 100
    assert misses > 10


def test_a_matte_of_another_stream_or_capture_finds_nothing() -> None:
    delay = FrameDelay()
    frame = sent(3)
    delay.put(frame)
    for change in ({"stream_id": 2}, {"seq": 4}, {"pts_ns": 0}, {"captured_ns": 4}):
        other = replace(frame, info=replace(frame.info, **change))
        assert delay.of(matte_of(other)) is None
    assert delay.misses == 4
    assert delay.of(matte_of(frame)) is frame
    assert delay.of(matte_of(frame)) is frame, "a matte may be shown twice"
    assert delay.misses == 4


def test_only_the_newest_frames_are_kept() -> None:
    delay = FrameDelay(2)
    frames = [sent(seq) for seq in range(3)]
    for frame in frames:
        delay.put(frame)
    assert [delay.of(matte_of(frame)) for frame in frames] == [None, *frames[1:]]
    again = replace(frames[1])
    delay.put(again)
    assert delay.of(matte_of(again)) is again
    delay.put(sent(9))
    assert delay.of(matte_of(frames[2])) is None, "a frame put again is a new one"
    assert delay.of(matte_of(again)) is again


def test_no_frame_at_all_is_not_enough() -> None:
    with pytest.raises(ShmError, match="at least 1 frame; got 0"):
        FrameDelay(0)
