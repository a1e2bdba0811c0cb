"""Named blocks: names, life time, checksums."""

from collections.abc import Iterator

import pytest
import shm_peer
from promptmatte_shm.directory import Channel, directory_name, ring_name
from promptmatte_shm.errors import LayoutError, SessionNameError, SessionNotFoundError, ShmError
from promptmatte_shm.segment import Segment, checked_name, sealed, unlink, unsealed


@pytest.fixture
def name() -> Iterator[str]:
    yield from shm_peer.fresh_name()


@pytest.mark.parametrize("bad", ["", "a" * 17, "a/b", "a.b", "a b", "é", "a\n", "../x"])
def test_a_name_that_is_not_portable_is_refused(bad: str) -> None:
    with pytest.raises(SessionNameError, match="letters"):
        checked_name(bad)


def test_the_longest_names_fit_macos() -> None:
    longest = checked_name("A-z_09" + "b" * 10)
    for channel in Channel:
        assert len("/" + ring_name(longest, channel, 2**32 - 1)) < 31
    assert len("/" + directory_name(longest)) < 31


def test_what_one_writes_another_mapping_reads(name: str) -> None:
    made = Segment.create(f"pm_{name}", 1000)
    other = Segment.attach(f"pm_{name}", 1000)
    made.write(10, b"hello")
    made.words[50] = 2**64 - 1
    assert other.read(10, 5) == b"hello"
    assert other.words[50] == 2**64 - 1
    unlink(f"pm_{name}")
    assert made.read(10, 5) == other.read(10, 5) == b"hello"


def test_a_taken_name_a_missing_one_and_a_small_one(name: str) -> None:
    with pytest.raises(SessionNotFoundError):
        Segment.attach(f"pm_{name}", 1)
    Segment.create(f"pm_{name}", 100)
    with pytest.raises(LayoutError, match="to be free"):
        Segment.create(f"pm_{name}", 100)
    with pytest.raises(LayoutError, match="at least"):
        Segment.attach(f"pm_{name}", 1 << 20)
    unlink(f"pm_{name}")
    unlink(f"pm_{name}")


def test_no_room_is_an_error_and_leaves_nothing(name: str) -> None:
    with pytest.raises(ShmError, match="room"):
        Segment.create(f"pm_{name}", 1 << 60)


def test_every_flipped_bit_breaks_a_seal() -> None:
    record = sealed(b"some fields")
    assert unsealed(record) == b"some fields"
    for bit in range(len(record) * 8):
        damaged = bytearray(record)
        damaged[bit // 8] ^= 1 << bit % 8
        assert unsealed(bytes(damaged)) is None
    assert unsealed(bytes(len(record))) is None
