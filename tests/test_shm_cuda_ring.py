"""The exchange in device memory: order and identity, torn, damaged and hostile slots.

The card is tests/fake_cuda.py, the processes and the shared memory are real.
"""

import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import fake_cuda
import numpy as np
import promptmatte_shm
import pytest
import shm_peer
from cuda_peer import (
    Ends,
    child,
    exchange_name,
    fingerprint,
    host,
    info,
    on_card,
    reader_of,
    rgb_of,
    said,
    size_of,
)
from fake_cuda import FakeCuda
from links_testing import wait_for
from promptmatte_shm import cuda_reader, cuda_ring, cuda_writer
from promptmatte_shm.cuda_reader import CudaRingReader
from promptmatte_shm.cuda_ring import (
    GENERATION_BYTES,
    LANE_COUNT,
    MAX_CUDA_SLOTS,
    NEWEST_WORD,
    OPEN_WORD,
    SEGMENT_BYTES,
    TOUCHDESIGNER,
    ChannelOrder,
    Generation,
    PixelLayout,
    RowOrder,
    SlotEntry,
    lane_word,
    planes_of,
    segment_name,
    stored_bytes,
)
from promptmatte_shm.cuda_writer import CudaRingWriter
from promptmatte_shm.directory import Channel
from promptmatte_shm.errors import (
    CudaError,
    LayoutError,
)
from promptmatte_shm.frame import PixelFormat
from promptmatte_shm.ring import ReadCounts
from promptmatte_shm.segment import Segment, sealed
from promptmatte_shm.slot import SlotHeader


@pytest.fixture
def name() -> Iterator[str]:
    yield from exchange_name()


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_writer, "_REAP_S", 0.0)
    monkeypatch.setattr(cuda_reader, "_LOOK_AGAIN_S", 0.0)


@pytest.fixture
def ends(name: str) -> Iterator[Ends]:
    both = Ends(name)
    yield both
    both.close()


def read_frames(
    reader: CudaRingReader, device: FakeCuda, until: Callable[[int], bool]
) -> list[int]:
    """Reads and checks frames of the role `frames` until one satisfies; their numbers."""
    seen: list[int] = []

    def look() -> bool:
        found = reader.newest()
        if found is None:
            return False
        pixels = host(device, found.pixels)
        if not reader.finish(found):
            return False
        seq = found.header.info.seq
        assert found.header.info == info(seq)
        assert found.layout == TOUCHDESIGNER
        np.testing.assert_array_equal(pixels, on_card(rgb_of(seq, size_of(seq))))
        seen.append(seq)
        return until(seq)

    wait_for(look)
    assert seen == sorted(set(seen))
    return seen


# --- pictures between processes


def test_frames_come_in_order_as_they_were_through_every_size(name: str) -> None:
    reader, device = reader_of(name)
    with child("frames", name):
        seen = read_frames(reader, device, lambda seq: seq > 60)
    assert {size_of(seq) for seq in seen} == {size_of(seq) for seq in range(0, 25, 5)}
    reader.close()
    assert device.held == (0, 0, 0, 0)


def test_a_reader_outlives_killed_senders(name: str) -> None:
    reader, device = reader_of(name)
    for _ in range(2):
        with child("frames", name):
            read_frames(reader, device, lambda seq: seq > 12)
        fake_cuda.forget_memory(name)
    wait_for(lambda: reader.newest() is None and not reader.connected)
    assert device.held == (0, 0, 0, 0), "the memory of a silent sender is let go of"
    with child("frames", name):
        assert read_frames(reader, device, lambda seq: seq > 12)[0] < 12
    reader.close()


def test_torn_frames_are_never_whole(name: str) -> None:
    device = FakeCuda(name)
    counts = ReadCounts()
    reader = CudaRingReader(name, Channel.FRAMES, device=device, counts=counts)
    with child("flood", name):

        def look() -> bool:
            found = reader.newest()
            if found is not None:
                pixels = host(device, found.pixels)
                if reader.finish(found):
                    assert (pixels == found.header.info.seq % 5).all()
            return min(counts.received, counts.torn) > 10

        wait_for(look)
    assert counts.rejected == 0
    reader.close()


def test_mattes_reach_another_process_as_they_were(name: str) -> None:
    device = FakeCuda(name)
    writer = CudaRingWriter(name, Channel.MATTES, device=device)
    with child("mattes", name) as receiving:
        for seq in range(30):
            shape = (*size_of(seq), (1, 4)[seq % 2])
            fill_channels = (0, 3, 4)[seq % 3]
            matte = shm_peer.matte(seq, shape, seq=seq, fill_channels=fill_channels)
            rng = np.random.default_rng(seq)
            begun = writer.begin(SlotHeader.of_matte(matte), TOUCHDESIGNER)
            prints = []
            for plane in (begun.pixels, begun.fill):
                if plane is not None:
                    pixels = rng.integers(0, 256, plane.shape, np.uint8)
                    device.upload(plane.pointer, pixels)
                    prints.append(fingerprint(pixels))
            writer.publish(begun)
            told = {0: "-", 3: "RGB8", 4: "RGBA8"}[fill_channels]
            assert said(receiving, writer.beat) == " ".join(
                [str(seq), str(seq - 1), "3", told, *prints]
            )
    writer.close()
    assert device.held == (0, 0, 0, 0)


# --- torn, damaged and hostile


def test_the_newest_is_read_and_the_rest_counted(ends: Ends) -> None:
    assert ends.take() is None
    ends.publish(1)
    assert ends.take() is not None
    assert ends.take() is None
    for seq in range(2, 6):
        ends.publish(seq)
    got = ends.take()
    assert got is not None
    assert got[0].header.info.seq == 5
    assert ends.counts == ReadCounts(received=2, missed=3)


def test_a_slot_of_newer_memory_is_not_read_out_of_the_former(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.publish(1)
    assert ends.take() is not None
    current = ends.reader._current

    def outgrown() -> Segment | None:
        segment = current()
        ends.publish(2, (1080, 1920, 4))
        ends.publish(3)
        return segment

    with monkeypatch.context() as patch:
        patch.setattr(ends.reader, "_current", outgrown)
        assert ends.reader.newest() is None
    got = ends.take()
    assert got is not None
    assert (got[1] == 3).all()
    assert ends.counts.rejected == ends.counts.torn == 0


@pytest.mark.parametrize("laps", [1, 3, 4, 9])
def test_a_picture_overwritten_while_it_is_copied_is_torn(ends: Ends, laps: int) -> None:
    ends.publish(1)

    def overtake() -> None:
        for seq in range(laps):
            ends.publish(2 + seq)

    got = ends.take(overtake)
    assert (got is None) == (laps >= ends.writer.slot_count)
    assert ends.counts.torn == int(got is None)
    newest = ends.take()
    assert newest is not None
    assert newest[0].header.info.seq == 1 + laps


def test_a_slot_begun_but_not_ended_is_not_read(ends: Ends) -> None:
    ends.publish(1)
    assert ends.take() is not None
    for seq in range(2, 2 + ends.writer.slot_count):
        ends.writer.begin(SlotHeader.of_matte(shm_peer.matte(seq, seq=seq)), TOUCHDESIGNER)
        assert ends.take() is None
    assert ends.counts.rejected == 0
    ends.publish(9)
    assert ends.take() is not None


def test_garbage_anywhere_never_crashes_or_misleads_a_reader(name: str, ends: Ends) -> None:
    rng = np.random.default_rng(6)
    ends.publish(1)
    segment = Segment.attach(segment_name(name, Channel.MATTES), SEGMENT_BYTES)
    good = segment.read(0, SEGMENT_BYTES)
    for turn in range(400):
        for _ in range(rng.integers(1, 6)):
            at = int(rng.integers(0, 2000))
            segment.write(at, rng.bytes(int(rng.integers(1, 200))))
        for _ in range(2):
            got = ends.take()
            assert got is None or (got[1] == got[0].header.info.seq % 256).all()
            ends.writer.beat()
        segment.write(0, good)
        ends.publish(2 + turn)
        ends.take()
        good = segment.read(0, SEGMENT_BYTES)
    assert ends.counts.rejected > 0
    segment.write(0, rng.bytes(SEGMENT_BYTES))
    ends.take()
    for seq in range(5):
        ends.publish(200 + seq)
        ends.meet()
    assert ends.counts.received > 0
    ends.publish(77)
    got = ends.take()
    assert got is not None, "a writer heals its segment as it goes"
    assert (got[1] == 77).all()


def test_damaged_tickets_are_rejected_once(name: str, ends: Ends) -> None:
    ends.publish(1)
    words = Segment.attach(segment_name(name, Channel.MATTES), SEGMENT_BYTES).words
    words[NEWEST_WORD] = 5
    assert ends.take() is None
    assert ends.take() is None
    assert ends.counts == ReadCounts(rejected=1)


def hostile(name: str, **changes: object) -> None:
    """Writes another generation with a right checksum over the one that is there."""
    segment = Segment.attach(segment_name(name, Channel.MATTES), SEGMENT_BYTES)
    generation = Generation.unpack(segment.read(0, GENERATION_BYTES))
    assert generation is not None
    segment.write(0, replace(generation, number=5, **changes).pack())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"uuid": fake_cuda.OTHER_CARD}, "one card.*GPU-02020202-.*GPU-01010101-.*CUDA_VISIBLE"),
        ({"handle": bytes(64)}, "cuIpcOpenMemHandle"),
        ({"slot_bytes": 2**22}, "slots of 4194304 bytes of device memory; got 2097152"),
    ],
)
def test_memory_that_cannot_be_used_is_refused_with_the_reason(
    name: str, ends: Ends, changes: dict[str, object], told: str
) -> None:
    ends.publish(1)
    assert ends.take() is not None
    hostile(name, **changes)
    for _ in range(3):
        ends.writer.beat()
        assert ends.take() is None
    assert re.search(told, ends.reader.refusal)
    assert not ends.reader.connected
    assert ends.theirs.held == (0, 0, 0, 0)
    ends.publish(2)  # writes the true record again
    got = ends.take()
    assert got is not None
    assert (got[1] == 2).all()
    assert ends.reader.refusal == ""
    assert ends.reader.connected


def test_memory_that_could_not_be_opened_is_tried_again(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_reader, "_OPEN_AGAIN_S", 0.001)
    opened, left = ends.theirs.open_exported, [3]

    def busy(handle: bytes) -> int:
        if left[0]:
            left[0] -= 1
            raise CudaError("cuIpcOpenMemHandle_v2 gave CUDA_ERROR_OUT_OF_MEMORY (2)")
        return opened(handle)

    monkeypatch.setattr(ends.theirs, "open_exported", busy)
    ends.publish(1)

    def look() -> object:
        ends.writer.beat()
        return ends.take()

    assert wait_for(look)
    assert left == [0]


def test_another_version_is_refused(name: str, ends: Ends) -> None:
    ends.publish(1)
    segment = Segment.attach(segment_name(name, Channel.MATTES), SEGMENT_BYTES)
    record = bytearray(segment.read(0, GENERATION_BYTES - 4))
    record[8] += 1
    segment.write(0, sealed(bytes(record)))
    assert ends.take() is None
    assert "same PromptMatte version" in ends.reader.refusal


@pytest.mark.parametrize("change", [{"slot_count": 2}, {"slot_count": 9}, {"slot_bytes": 0}])
def test_a_generation_out_of_range_is_none(change: dict[str, int]) -> None:
    fields = {"number": 3, "slot_count": 4, "slot_bytes": 2**20, "uuid": bytes(16)}
    good = Generation(handle=bytes(64), **fields)  # type: ignore[arg-type]
    assert Generation.unpack(good.pack()) == good
    assert Generation.unpack(replace(good, **change).pack()) is None  # type: ignore[arg-type]
    assert Generation.unpack(good.pack()[:-1] + b"?") is None


@pytest.mark.parametrize("layout", [(0, 2), (2, 0), (2**32 - 1, 0)])
def test_a_layout_out_of_range_is_refused(layout: tuple[int, int]) -> None:
    with pytest.raises(LayoutError, match="pixel layout"):
        PixelLayout.unpack(sealed(struct.pack("<II", *layout)))
    with pytest.raises(LayoutError, match="damaged"):
        PixelLayout.unpack(bytes(12))
    kept = PixelLayout(channels=ChannelOrder.RGBA, rows=RowOrder.TOP_DOWN)
    assert PixelLayout.unpack(kept.pack()) == kept


def test_a_header_may_not_ask_for_more_than_its_slot(name: str) -> None:
    segment = Segment.create(f"pm_{name}.cx", SEGMENT_BYTES)
    header = SlotHeader.of_matte(shm_peer.matte(shape=(100, 100, 1), fill_channels=3))
    size = stored_bytes(header)
    assert size == 10_240 + 40_000, "the fill lies on a line of its own, four bytes a pixel"
    assert header.byte_size < size
    slot = SlotEntry(segment, 1)
    slot.describe(header.pack(), TOUCHDESIGNER)
    assert slot.description(size)[0] == header
    with pytest.raises(LayoutError, match=f"at most {size - 1} bytes"):
        slot.description(size - 1)
    promptmatte_shm.segment.unlink(segment.name)


def test_planes_tell_where_and_how_they_lie() -> None:
    header = SlotHeader.of_matte(shm_peer.matte(shape=(5, 7, 4), fill_channels=3))
    alpha, fill = planes_of(header, 4096)
    assert fill is not None
    assert (alpha.pointer, alpha.shape, alpha.byte_size) == (4096, (5, 7, 4), 140)
    assert (fill.pointer, fill.shape, fill.byte_size) == (4096 + 512, (5, 7, 4), 140)
    assert alpha.is_four_bytes
    floats = replace(header, format=PixelFormat.RGBA32F, fill_format=None)
    assert not planes_of(floats, 0)[0].is_four_bytes
    assert planes_of(floats, 0)[1] is None


def test_the_parts_of_the_segment_do_not_overlap() -> None:
    assert GENERATION_BYTES <= 8 * NEWEST_WORD
    assert 8 * lane_word(0) >= 8 * (OPEN_WORD + 1)
    assert 8 * lane_word(LANE_COUNT) <= cuda_ring._SLOTS_AT
    assert cuda_ring._SLOTS_AT + MAX_CUDA_SLOTS * cuda_ring._SLOT_STRIDE <= SEGMENT_BYTES
    assert cuda_ring._LAYOUT_AT + cuda_ring._LAYOUT.size + 4 <= cuda_ring._SLOT_STRIDE


# --- the package


def test_the_modules_load_no_cuda_library() -> None:
    code = (
        "import ctypes, sys\n"
        "ctypes.CDLL = lambda *_: sys.exit('loaded')\n"
        "import promptmatte_shm.cuda_client\n"
        "assert 'torch' not in sys.modules\n"
        "print('none')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(promptmatte_shm.__file__).parents[1],
    )
    assert (done.returncode, done.stdout) == (0, "none\n"), done.stderr
