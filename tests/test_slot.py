import threading
import time

from promptmatte.slot import LatestSlot


def test_only_the_latest_is_kept_and_the_loss_is_told() -> None:
    slot: LatestSlot[str] = LatestSlot()
    assert slot.put("a") is None
    assert slot.put("b") == "a"
    assert slot.take(0.0) == "b"
    assert slot.take(0.0) is None


def test_a_closed_slot_gives_out_what_it_holds_and_takes_nothing() -> None:
    slot: LatestSlot[str] = LatestSlot()
    slot.put("a")
    slot.close()
    assert slot.closed
    assert slot.put("b") == "b"
    assert slot.take(30.0) == "a"
    assert slot.take(30.0) is None


def test_a_nudge_ends_one_wait() -> None:
    slot: LatestSlot[str] = LatestSlot()
    slot.nudge()
    assert slot.take(60.0) is None
    slot.put("a")
    assert slot.take(60.0) == "a"


def test_nothing_is_lost_uncounted_between_two_threads() -> None:
    slot: LatestSlot[int] = LatestSlot()
    lost: list[int] = []

    def give() -> None:
        for number in range(5000):
            replaced = slot.put(number)
            if replaced is not None:
                lost.append(replaced)
        slot.close()

    giver = threading.Thread(target=give)
    giver.start()
    taken: list[int] = []
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        number = slot.take(0.5)
        if number is not None:
            taken.append(number)
        elif slot.closed:
            break
    giver.join()
    assert sorted(taken + lost) == list(range(5000))
    assert taken == sorted(taken)
