import pytest
from moving_scene import MovingScene
from promptmatte.matting import Delay

SCENE = MovingScene()


def seqs(delay: Delay, first: int, count: int, latency: int) -> list[int]:
    frames = range(first, first + count)
    return [due.info.seq for n in frames for due in delay.put(SCENE.frame(n), latency)]


@pytest.mark.parametrize("latency", [0, 1, 3])
def test_frames_come_out_in_order_and_so_much_later(latency: int) -> None:
    delay = Delay()
    assert seqs(delay, 0, 6, latency) == list(range(6 - latency))
    assert [frame.info.seq for frame in delay.flush()] == list(range(6 - latency, 6))
    assert delay.flush() == []


def test_a_smaller_latency_lets_the_waiting_ones_out_at_once() -> None:
    delay = Delay()
    assert seqs(delay, 0, 5, 3) == [0, 1]
    assert seqs(delay, 5, 1, 1) == [2, 3, 4]
    assert seqs(delay, 6, 1, 0) == [5, 6]


def test_a_larger_latency_repeats_nothing() -> None:
    delay = Delay()
    assert seqs(delay, 0, 2, 0) == [0, 1]
    assert seqs(delay, 2, 3, 2) == [2]
