"""The picture ring: every format, several readers, torn and damaged slots."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import shm_peer
from promptmatte_shm import ring as ring_module
from promptmatte_shm.errors import FrameFormatError, LayoutError, SessionNotFoundError
from promptmatte_shm.frame import Frame, Matte, PixelFormat
from promptmatte_shm.ring import ReadCounts, RingReader, RingWriter
from promptmatte_shm.segment import Segment, sealed
from promptmatte_shm.slot import _FIELDS, HEADER_BYTES, SlotHeader

GENERATION = 7


@pytest.fixture
def name() -> Iterator[str]:
    for session in shm_peer.fresh_name():
        yield f"pm_{session}.m"


@pytest.fixture
def writer(name: str) -> Iterator[RingWriter]:
    ring = RingWriter(name, generation=GENERATION, slot_count=3, slot_bytes=64 * 64)
    yield ring
    ring.close()


def reader(name: str) -> tuple[RingReader, ReadCounts]:
    counts = ReadCounts()
    return RingReader(name, generation=GENERATION, counts=counts), counts


def publish(ring: RingWriter, frame: Frame) -> None:
    ring.write(SlotHeader.of_frame(frame), frame.pixels)


def publish_matte(ring: RingWriter, matte: Matte) -> None:
    ring.write(SlotHeader.of_matte(matte), matte.alpha, matte.fill)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 37), (61, 3), (270, 479)])
@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_every_format_and_odd_size_comes_back_the_same(
    name: str, pixel_format: PixelFormat, size_hw: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    shape = (*size_hw, pixel_format.channels)
    pixels = (rng.random(shape) * 255).astype(pixel_format.dtype)
    sent = Frame(info=shm_peer.info(), pixels=pixels)
    ring = RingWriter(name, generation=GENERATION, slot_count=2, slot_bytes=pixels.nbytes)
    try:
        reading, counts = reader(name)
        for _ in range(3):
            publish(ring, sent)
            got = reading.latest()
            assert got is not None
            header, copy, fill = got
            assert fill is None
            assert header.info == sent.info
            assert copy.dtype == pixels.dtype
            np.testing.assert_array_equal(copy, pixels)
        assert counts == ReadCounts(received=3)
    finally:
        ring.close()


def test_a_picture_that_is_not_contiguous_is_carried(name: str, writer: RingWriter) -> None:
    base = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3)
    flipped = Frame(info=shm_peer.info(), pixels=base[::-2, ::-1])
    publish(writer, flipped)
    got = reader(name)[0].latest()
    assert got is not None
    np.testing.assert_array_equal(got[1], base[::-2, ::-1])


def test_every_reader_gets_the_newest_and_counts_what_it_missed(
    name: str, writer: RingWriter
) -> None:
    (often, often_counts), (seldom, seldom_counts) = reader(name), reader(name)
    assert often.latest() is None
    for seq in range(1, 6):
        publish(writer, shm_peer.frame(seq, seq=seq))
        got = often.latest()
        assert got is not None
        assert got[0].info.seq == seq
        assert often.latest() is None
        if seq == 1:
            assert seldom.latest() is not None
    got = seldom.latest()
    assert got is not None
    assert got[0].info.seq == got[1].flat[0] == 5
    assert often_counts == ReadCounts(received=5)
    assert seldom_counts == ReadCounts(received=2, missed=3)


def test_the_caller_may_provide_the_array(name: str, writer: RingWriter) -> None:
    publish(writer, shm_peer.frame(9))
    out = np.zeros((6, 8, 3), np.uint8)
    got = reader(name)[0].latest(out)
    assert got is not None
    assert np.shares_memory(got[1], out)
    assert (out == 9).all()
    Frame(info=shm_peer.info(), pixels=got[1])
    assert out.flags.writeable
    other = reader(name)[0].latest(np.zeros((6, 8, 4), np.uint8))
    assert other is not None
    assert other[1].shape == (6, 8, 3)


def test_a_picture_overwritten_while_it_is_copied_is_counted_and_not_returned(
    name: str, writer: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, counts = reader(name)
    publish(writer, shm_peer.frame(1, seq=1))
    copy = reading._copy
    laps = iter([3, 0])

    def overtaken(*arguments: object) -> object:
        copied = copy(*arguments)  # type: ignore[arg-type]
        for seq in range(next(laps)):
            publish(writer, shm_peer.frame(10 + seq, seq=10 + seq))
        return copied

    monkeypatch.setattr(reading, "_copy", overtaken)
    got = reading.latest()
    assert got is not None
    assert got[0].info.seq == got[1].flat[0] == 12
    assert counts == ReadCounts(received=1, torn=1)


@pytest.mark.parametrize("laps", [1, 3])
def test_alpha_and_fill_are_torn_together(
    name: str, writer: RingWriter, monkeypatch: pytest.MonkeyPatch, laps: int
) -> None:
    reading, counts = reader(name)
    publish_matte(writer, shm_peer.matte(1, seq=1, fill_channels=4))
    copied = ring_module._copied
    to_send = iter(range(2, 2 + laps))

    def overtaken(*arguments: object) -> object:
        copy = copied(*arguments)  # type: ignore[arg-type]
        for value in to_send:
            publish_matte(writer, shm_peer.matte(value, seq=value, fill_channels=4))
        return copy

    monkeypatch.setattr(ring_module, "_copied", overtaken)
    got = reading.latest()
    assert got is not None
    assert got.header.info.seq in (1, 1 + laps)
    assert (got.pixels == got.header.info.seq).all()
    assert (got.fill == got.header.info.seq).all()
    assert counts == ReadCounts(received=1, torn=int(laps == 3))


def test_a_fill_lies_on_a_line_of_its_own(name: str, writer: RingWriter) -> None:
    told = shm_peer.matte(5, (3, 7, 1), fill_channels=3)
    header = SlotHeader.of_matte(told)
    assert header.fill_at == 64
    assert header.byte_size == 64 + 3 * 7 * 3
    publish_matte(writer, told)
    got = reader(name)[0].latest(with_fill=False)
    assert got is not None
    assert got.fill is None
    assert got.header.fill_format is PixelFormat.RGB8


def test_a_slot_still_being_written_is_not_read(name: str, writer: RingWriter) -> None:
    reading, counts = reader(name)
    publish(writer, shm_peer.frame(1))
    words = Segment.attach(name, 0).words
    begun = next(i for i in range(16, len(words)) if words[i] == words[i + 1] == 1)
    words[begun + 1] = 0  # begun but not ended
    assert reading.latest() is None
    assert counts.received == 0
    publish(writer, shm_peer.frame(2))
    assert reading.latest() is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(5, 0), (5, 2**32 - 1), (6, 0), (6, 2**32 - 1), (7, 0), (7, 99), (8, 5)],
        *[(9, 0), (9, 1), (9, 3), (9, 4), (9, 99)],
        *[(10, 0), (10, 2**64 - 1), (10, 65 * 64), (13, float("nan")), (14, float("inf"))],
    ],
)
def test_a_hostile_header_with_a_right_checksum_is_refused(field: int, value: float) -> None:
    packed = SlotHeader.of_matte(shm_peer.matte(fill_channels=3)).pack()
    assert SlotHeader.unpack(packed, 64 * 64).fill_format is PixelFormat.RGB8
    fields = list(_FIELDS.unpack(packed[:-4]))
    fields[field] = value
    with pytest.raises(LayoutError):
        SlotHeader.unpack(sealed(_FIELDS.pack(*fields)), 64 * 64)


def test_a_header_may_not_ask_for_more_than_its_slot() -> None:
    header = SlotHeader.of_frame(shm_peer.frame(shape=(64, 64, 3)))
    with pytest.raises(LayoutError, match="at most 4096 bytes"):
        SlotHeader.unpack(header.pack(), 64 * 64)
    assert len(header.pack()) == HEADER_BYTES
    header = SlotHeader.of_matte(shm_peer.matte(shape=(32, 32, 1), fill_channels=3))
    assert SlotHeader.unpack(header.pack(), 64 * 64).byte_size == 64 * 64
    with pytest.raises(LayoutError, match="at most 4095 bytes"):
        SlotHeader.unpack(header.pack(), 64 * 64 - 1)


def test_numbers_that_cannot_be_carried_are_refused() -> None:
    header = SlotHeader.of_matte(shm_peer.matte())
    with pytest.raises(FrameFormatError, match="63 bits"):
        replace(header, anchor_seq=2**63).pack()
    with pytest.raises(FrameFormatError, match="finite"):
        replace(header, age_ms=float("nan")).pack()


def test_garbage_anywhere_never_crashes_a_reader(name: str, writer: RingWriter) -> None:
    rng = np.random.default_rng(5)
    segment = Segment.attach(name, 0)
    reading, counts = reader(name)
    good = segment.read(0, segment.size)
    refused = 0
    for _ in range(300):
        segment.write(0, good)
        publish(writer, shm_peer.frame(1))
        for _ in range(rng.integers(1, 6)):
            size = int(rng.integers(1, 200))
            at = int(rng.integers(0, 900))
            segment.write(at, rng.bytes(size))
        reading.latest()
        try:
            reader(name)[0].latest()
        except LayoutError:
            refused += 1
    assert counts.rejected > 0
    assert refused > 0
    segment.write(0, rng.bytes(segment.size))
    for seq in range(4):
        publish(writer, shm_peer.frame(3, seq=seq))
    got = reader(name)[0].latest()
    assert got is not None, "a writer heals its ring as it goes"
    assert (got[1] == 3).all()


def test_a_ring_of_another_generation_is_not_read(name: str, writer: RingWriter) -> None:
    with pytest.raises(LayoutError, match="generation"):
        RingReader(name, generation=GENERATION + 1, counts=ReadCounts())
    with pytest.raises(SessionNotFoundError):
        RingReader(name + "x", generation=GENERATION, counts=ReadCounts())
