"""The writer of an exchange: growth, memory that readers have open, who may write and read."""

import os
import signal
from collections.abc import Iterator

import fake_cuda
import pytest
import shm_peer
from cuda_peer import (
    Ends,
    child,
    exchange_name,
    host,
    reader_of,
    said,
)
from fake_cuda import FakeCuda
from links_testing import wait_for
from promptmatte_shm import cuda_reader, cuda_writer
from promptmatte_shm.cuda_ring import (
    LANE_COUNT,
    TOUCHDESIGNER,
    roomy_slot_bytes,
)
from promptmatte_shm.cuda_writer import CudaRingWriter
from promptmatte_shm.directory import Channel
from promptmatte_shm.errors import (
    CudaError,
    LayoutError,
    SessionBusyError,
    SessionNameError,
    ShmError,
)
from promptmatte_shm.ring import ReadCounts
from promptmatte_shm.slot import SlotHeader

posix_only = pytest.mark.skipif(os.name != "posix", reason="stops processes by signals")


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


# --- growth and the memory before it


def test_a_smaller_picture_needs_no_new_memory_and_a_larger_one_does(ends: Ends) -> None:
    ends.publish(1)
    first = ends.take()
    assert first is not None
    ends.publish(2, (200, 300, 1))
    second = ends.take()
    assert second is not None
    assert first[0].generation == second[0].generation
    ends.publish(3, (1080, 1920, 4))
    third = ends.take()
    assert third is not None
    assert third[0].generation != second[0].generation
    assert (third[1] == 3).all()
    ends.publish(4)
    assert ends.ours.allocated == 1, "the reader has moved on"
    fourth = ends.take()
    assert fourth is not None
    assert fourth[0].generation == third[0].generation
    assert ends.counts == ReadCounts(received=4)


def test_memory_stays_while_a_reader_has_it_open(ends: Ends) -> None:
    ends.publish(1)
    found = ends.reader.newest()
    assert found is not None
    for step in range(4):
        ends.publish(2 + step, (300 << step, 300, 4))
    ends.publish(6)
    assert ends.ours.allocated == 2, "only what the reader has open, and the newest"
    assert (host(ends.theirs, found.pixels) == 1).all()
    assert not ends.reader.finish(found), "its slot has gone to another picture"
    assert ends.take() is not None
    ends.publish(9)
    assert ends.ours.allocated == 1


@posix_only
@pytest.mark.parametrize("end", ["goes on", "is killed"])
def test_memory_that_a_stopped_process_has_open_is_kept_until_it(name: str, end: str) -> None:
    device = FakeCuda(name)
    writer = CudaRingWriter(name, Channel.MATTES, device=device)

    def publish(seq: int, shape: tuple[int, int, int]) -> None:
        begun = writer.begin(
            SlotHeader.of_matte(shm_peer.matte(seq, shape, seq=seq)), TOUCHDESIGNER
        )
        writer.publish(begun)

    with child("mattes", name) as receiving:
        publish(1, (6, 8, 1))
        assert said(receiving, writer.beat).startswith("1 ")
        receiving.process.send_signal(signal.SIGSTOP)
        for step in range(3):
            publish(2, (300 << step, 300, 4))
        publish(2, (6, 8, 1))
        assert device.allocated == 2
        if end == "goes on":
            receiving.process.send_signal(signal.SIGCONT)
            assert said(receiving, writer.beat).startswith("2 ")
        else:
            receiving.kill()
        publish(3, (6, 8, 1))
        assert device.allocated == 1
    with child("mattes", name) as receiving:
        assert said(receiving, writer.beat).startswith("3 ")
    publish(4, (3000, 300, 4))
    publish(5, (6, 8, 1))
    assert device.allocated == 1, "nobody has it open: the last reader was killed too"
    writer.close()
    assert device.held == (0, 0, 0, 0)


def test_what_was_begun_before_growth_is_not_published(ends: Ends) -> None:
    ends.publish(1)
    begun = ends.writer.begin(SlotHeader.of_matte(shm_peer.matte(2, seq=2)), TOUCHDESIGNER)
    ends.publish(3, (1080, 1920, 4))
    assert not ends.writer.publish(begun)
    got = ends.take()
    assert got is not None
    assert got[0].header.info.seq == 3


@pytest.mark.parametrize("call", ["allocate", "export"])
def test_no_room_on_the_card_leaves_all_as_it_was(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    ends.publish(1)

    def full(_: int) -> int:
        raise CudaError("cuMemAlloc_v2 gave CUDA_ERROR_OUT_OF_MEMORY (2)")

    with monkeypatch.context() as patch:
        patch.setattr(ends.ours, call, full)
        with pytest.raises(CudaError, match="OUT_OF_MEMORY"):
            ends.publish(2, (1080, 1920, 4))
    assert ends.ours.allocated == 1
    assert ends.take() is not None
    ends.publish(3, (1080, 1920, 4))
    assert ends.take() is not None


def test_slots_grow_by_doubling() -> None:
    assert roomy_slot_bytes(1) == roomy_slot_bytes(65_536) == 65_536
    assert roomy_slot_bytes(65_537) == 131_072
    assert len({roomy_slot_bytes(4 * w * w * 9 // 16) for w in range(320, 3840)}) < 9


# --- who may write and read


def test_a_second_writer_is_refused_while_the_first_lives(name: str) -> None:
    with child("once", name):
        with pytest.raises(SessionBusyError, match="another program"):
            CudaRingWriter(name, Channel.FRAMES, device=FakeCuda(name))
        CudaRingWriter(name, Channel.MATTES, device=FakeCuda(name)).close()
    fake_cuda.forget_memory(name)
    CudaRingWriter(name, Channel.FRAMES, device=FakeCuda(name)).close()


def test_there_is_room_for_a_few_readers_and_a_closed_one_makes_room(name: str) -> None:
    readers = [reader_of(name)[0] for _ in range(LANE_COUNT)]
    with pytest.raises(ShmError, match="one more"):
        reader_of(name)
    readers[3].close()
    readers.append(reader_of(name)[0])
    for reader in readers:
        reader.close()
        reader.close()


def test_each_side_sees_the_other_come_and_go(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cuda_reader, cuda_writer):
        monkeypatch.setattr(module, "SILENCE_S", 0.2)
    ends = Ends(name)
    ends.publish(1)
    assert ends.take() is not None
    assert ends.writer.connected
    assert ends.reader.connected
    assert wait_for(lambda: not ends.writer.connected)
    assert wait_for(lambda: ends.take() is None and not ends.reader.connected)
    ends.writer.close()
    assert ends.take() is None
    assert ends.theirs.held == (0, 0, 0, 0), "what a writer has closed is let go of"
    again = CudaRingWriter(name, Channel.MATTES, device=ends.ours)
    ends.writer = again
    ends.meet()
    ends.publish(2)
    assert ends.take() is not None
    ends.close()


def test_a_closing_writer_gives_readers_time_to_let_go(name: str) -> None:
    device = FakeCuda(name)
    with child("mattes", name) as receiving:
        writer = CudaRingWriter(name, Channel.MATTES, device=device)
        writer.publish(writer.begin(SlotHeader.of_matte(shm_peer.matte(1)), TOUCHDESIGNER))
        said(receiving, writer.beat)
        writer.close(patience_s=20.0)
        assert device.held == (0, 0, 0, 0)
    writer.close()
    with pytest.raises(ShmError, match="closed"):
        writer.begin(SlotHeader.of_matte(shm_peer.matte(1)), TOUCHDESIGNER)


def test_memory_that_a_reader_never_lets_go_of_outlives_the_writer(
    name: str, ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    ends.publish(1)
    found = ends.reader.newest()
    assert found is not None
    ends.writer.close()
    assert "stays until this program ends" in caplog.text
    assert (host(ends.theirs, found.pixels) == 1).all()
    ends.reader.close()
    assert ends.ours.allocated == 1
    for pointer in list(ends.ours._blocks):
        ends.ours.free(pointer)


def test_the_exporter_cannot_open_its_own_memory(name: str) -> None:
    device = FakeCuda(name)
    with pytest.raises(CudaError, match="INVALID_CONTEXT"):
        device.open_exported(device.export(pointer := device.allocate(64)))
    device.free(pointer)


@pytest.mark.parametrize("slot_count", [2, 9])
def test_bad_names_and_slots_are_refused(name: str, slot_count: int) -> None:
    with pytest.raises(LayoutError, match="3 to 8 slots"):
        CudaRingWriter(name, Channel.FRAMES, device=FakeCuda(name), slot_count=slot_count)
    with pytest.raises(SessionNameError):
        CudaRingWriter("a/b", Channel.FRAMES, device=FakeCuda(name))
    with pytest.raises(SessionNameError):
        reader_of("a/b")
