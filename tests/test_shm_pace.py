import time

import pytest
from promptmatte_shm import pace
from promptmatte_shm.pace import GAPS, MOST_QUIET_S, POLL_S, QUIET, SHORT_S, Lookout


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every sleep, which takes no time but that of the clock there is then."""
    slept: list[float] = []
    now_s = [100.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now_s[0] += seconds

    monkeypatch.setattr(pace.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(pace.time, "sleep", sleep)
    return slept


def shown(lookout: Lookout, gaps_s: list[float]) -> None:
    for gap_s in gaps_s:
        time.sleep(gap_s)
        lookout.look()
        lookout.came()


def test_without_pictures_it_looks_all_the_time(slept: list[float]) -> None:
    lookout = Lookout()
    assert all(lookout.wait(time.monotonic() + 1.0) for _ in range(5))
    assert slept == [POLL_S] * 5


def test_after_a_picture_it_waits_for_most_of_the_shortest_gap(slept: list[float]) -> None:
    lookout = Lookout()
    shown(lookout, [0.02] * GAPS + [0.016, 0.02])
    slept.clear()
    assert lookout.wait(time.monotonic() + 1.0)
    assert lookout.wait(time.monotonic() + 1.0)
    assert slept == pytest.approx([QUIET * 0.016, POLL_S])


def test_pictures_that_come_at_once_and_seldom_are_not_waited_for_long(slept: list[float]) -> None:
    lookout = Lookout()
    shown(lookout, [1.0] * (GAPS + 1))
    slept.clear()
    lookout.wait(time.monotonic() + 1.0)
    assert slept == pytest.approx([MOST_QUIET_S])
    shown(lookout, [0.0, 0.0])
    slept.clear()
    lookout.wait(time.monotonic() + 1.0)
    assert slept == [POLL_S]


def test_a_flood_is_looked_for_all_the_time(slept: list[float]) -> None:
    lookout = Lookout()
    shown(lookout, [SHORT_S] * (GAPS + 1))
    slept.clear()
    lookout.wait(time.monotonic() + 1.0)
    assert slept == [POLL_S]


def test_large_pictures_that_come_fast_are_kept_up_with(slept: list[float]) -> None:
    lookout, copy_s, gap_s = Lookout(), 0.012, 1 / 60
    seen, next_s = [], time.monotonic()
    while len(seen) < 200:
        lookout.look()
        if time.monotonic() < next_s:
            lookout.wait(time.monotonic() + 1.0)
            continue
        seen.append(time.monotonic())
        while next_s <= time.monotonic():
            next_s += gap_s
        time.sleep(copy_s)
        lookout.came()
    assert (seen[-1] - seen[100]) / 99 == pytest.approx(gap_s, rel=0.01)


def test_the_time_that_was_given_is_kept(slept: list[float]) -> None:
    lookout = Lookout()
    shown(lookout, [0.02] * (GAPS + 1))
    slept.clear()
    assert lookout.wait(time.monotonic() + 0.004)
    assert slept == pytest.approx([0.004])
    assert not lookout.wait(time.monotonic())
