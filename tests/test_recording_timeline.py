"""Times in a recording from the stamps of captures."""

import itertools

from promptmatte.recording.timeline import Timeline

MS = 1_000_000


def times_ms(pairs: list[tuple[int, int]]) -> list[float]:
    """Of (captured, arrived) in ms."""
    timeline = Timeline()
    return [
        timeline.time_ns(captured_ns=captured * MS, arrived_ns=arrived * MS) / MS
        for captured, arrived in pairs
    ]


def test_captures_count_and_not_when_mattes_were_done() -> None:
    assert times_ms([(500, 530), (533, 640), (567, 650), (900, 930)]) == [0, 33, 67, 400]


def test_a_clock_of_another_machine_counts_by_its_steps() -> None:
    far = 10**9
    assert times_ms([(far, 30), (far + 40, 75), (far + 80, 105)]) == [0, 40, 80]


def test_another_source_with_another_clock_goes_on_from_now() -> None:
    assert times_ms([(500, 530), (540, 570), (9_000_000, 2570), (9_000_040, 2610)]) == [
        0, 40, 2040, 2080,
    ]  # fmt: skip


def test_times_rise_whatever_the_stamps_say() -> None:
    times = times_ms([(500, 530), (540, 570), (540, 610), (300, 640), (580, 660)])
    assert times[0] == 0
    assert all(later > earlier for earlier, later in itertools.pairwise(times))


def test_stamps_that_stand_still_lag_a_second_at_most() -> None:
    times = times_ms([(7, 530 + 33 * index) for index in range(100)])
    assert abs(times[-1] - 33 * 99) <= 1001
