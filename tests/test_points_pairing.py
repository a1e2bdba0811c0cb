"""Which matte each XYZ frame gets: by number, by time, late, never."""

from __future__ import annotations

import numpy as np
from promptmatte.frame import Frame, FrameInfo, Matte
from promptmatte.points.pairing import KEPT, Pairing

MS = 1_000_000


def info(seq: int, at_ms: float, stream: int) -> FrameInfo:
    return FrameInfo(stream_id=stream, seq=seq, pts_ns=0, captured_ns=round(at_ms * MS))


def xyz(seq: int, at_ms: float, stream: int = 1) -> Frame:
    return Frame(info=info(seq, at_ms, stream), pixels=np.zeros((1, 1, 4), np.float32))


def matte(seq: int, at_ms: float, stream: int = 1) -> Matte:
    return Matte(
        info=info(seq, at_ms, stream), alpha=np.zeros((1, 1, 1), np.uint8), anchor_seq=-1,
        age_ms=0.0, confidence=(), prompts_version=0,
    )  # fmt: skip


def fed(pairing: Pairing, *arrivals: Frame | Matte) -> list[tuple[int, int]]:
    """The (XYZ, matte) numbers of the pairs, asked for after each arrival."""
    pairs = []
    for arrival in arrivals:
        if isinstance(arrival, Frame):
            pairing.add_xyz(arrival)
        else:
            pairing.add_matte(arrival)
        pair = pairing.newest()
        if pair is not None:
            pairs.append((pair.xyz.info.seq, pair.matte.info.seq))
    return pairs


def pairing(apart_ms: float = 25.0) -> Pairing:
    return Pairing(apart_ns=round(apart_ms * MS))


def test_one_number_is_a_pair_whatever_the_clocks_say() -> None:
    ours = pairing(0)
    assert fed(ours, xyz(1, 0), xyz(2, 33), matte(1, 9e6), matte(2, 9e6 + 33)) == [(1, 1), (2, 2)]
    assert (ours.paired, ours.overtaken, ours.unpaired) == (2, 0, 0)


def test_the_matte_may_come_first() -> None:
    assert fed(pairing(), matte(1, 0), xyz(1, 0), matte(2, 33), xyz(2, 33)) == [(1, 1), (2, 2)]


def test_an_xyz_frame_goes_out_once() -> None:
    assert fed(pairing(), xyz(1, 0), matte(1, 0), matte(2, 5), matte(3, 10)) == [(1, 1)]


def test_the_newest_that_is_known_goes_first_and_older_ones_not_at_all() -> None:
    ours = pairing()
    assert fed(ours, xyz(1, 0), xyz(2, 33), xyz(3, 66), matte(2, 33), matte(3, 66)) == [
        (2, 2), (3, 3),
    ]  # fmt: skip
    assert (ours.paired, ours.overtaken, ours.unpaired) == (2, 1, 0)


def test_of_two_streams_the_nearest_in_time_and_not_the_same_number() -> None:
    told = fed(pairing(), matte(7, 0, 2), matte(8, 33, 2), xyz(8, 10), matte(9, 66, 2))
    assert told == [(8, 7)]


def test_a_matte_that_is_still_to_come_may_be_nearer() -> None:
    ours = pairing()
    assert fed(ours, matte(1, 0, 2), xyz(5, 20)) == []
    assert fed(ours, matte(2, 22, 2)) == [(5, 2)]


def test_a_number_that_was_dropped_gets_its_neighbour() -> None:
    told = fed(pairing(40), xyz(1, 0), xyz(2, 33), matte(1, 0), xyz(3, 66), matte(3, 66))
    assert told == [(1, 1), (3, 3)]
    told = fed(pairing(40), xyz(1, 0), matte(1, 0), xyz(2, 35), matte(3, 66))
    assert told == [(1, 1), (2, 3)]


def test_the_limit_is_itself_near_enough() -> None:
    assert fed(pairing(25), xyz(1, 0), matte(9, 25, 2)) == [(1, 9)]
    assert fed(pairing(25), xyz(1, 0), matte(9, 25.1, 2)) == []


def test_what_is_too_far_apart_is_counted_with_its_distance() -> None:
    ours = pairing()
    arrivals = [a for n in range(20) for a in (xyz(n, 33 * n), matte(n, 5e6 + 33 * n, 2))]
    assert fed(ours, *arrivals) == []
    assert ours.unpaired == 20 - KEPT
    assert ours.nearest_ns is not None
    assert 4.9e6 < ours.nearest_ns / MS < 5.1e6


def test_without_any_matte_there_is_no_distance() -> None:
    ours = pairing()
    assert fed(ours, *(xyz(n, n) for n in range(KEPT + 3))) == []
    assert (ours.unpaired, ours.nearest_ns) == (3, None)


def test_mattes_may_come_as_late_as_frames_are_kept() -> None:
    for late, pairs in ((KEPT - 1, 30), (KEPT + 1, 0)):
        ours, told = pairing(), []
        for n in range(30 + late):
            told += fed(ours, xyz(n, 33 * n))
            if n >= late:
                told += fed(ours, matte(n - late, 33 * (n - late)))
        assert len(told) == pairs
        assert all(frame == of for frame, of in told)


def test_a_new_sender_and_a_new_server_go_on() -> None:
    ours = pairing()
    assert fed(ours, xyz(900, 0), matte(900, 0), xyz(901, 33)) == [(900, 900)]
    assert fed(ours, xyz(0, 500, 3), matte(0, 500, 3), xyz(1, 533, 3), matte(1, 533, 3)) == [
        (0, 0), (1, 1),
    ]  # fmt: skip
