"""The ends in a program without torch: never wait, show only what is whole."""

import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import fake_cuda
import numpy as np
import pytest
import shm_peer
from cuda_peer import (
    exchange_name,
    host,
    image,
    info,
    on_card,
    reader_of,
    rgb_of,
)
from fake_cuda import FakeCuda
from promptmatte_shm import cuda_reader, cuda_writer
from promptmatte_shm.cuda_client import MATTES_KEPT, CudaFrameSender, CudaMatteReceiver, DeviceMatte
from promptmatte_shm.cuda_ring import (
    TOUCHDESIGNER,
)
from promptmatte_shm.cuda_writer import CudaRingWriter
from promptmatte_shm.directory import Channel
from promptmatte_shm.errors import (
    FrameFormatError,
    ShmError,
)
from promptmatte_shm.frame import Matte, PixelFormat
from promptmatte_shm.slot import SlotHeader


@pytest.fixture
def name() -> Iterator[str]:
    yield from exchange_name()


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_writer, "_REAP_S", 0.0)
    monkeypatch.setattr(cuda_reader, "_LOOK_AGAIN_S", 0.0)


# --- the sender: never waits, keeps the image, publishes what is done


@pytest.fixture
def card(name: str) -> Iterator[FakeCuda]:
    device = FakeCuda(name, lag=3, forbid_wait=True)
    yield device
    assert device.held == (0, 0, 0, 0)


def frame_image(card: FakeCuda, seq: int, size_hw: tuple[int, int] = (9, 7)) -> SimpleNamespace:
    return image(card, on_card(rgb_of(seq, size_hw)))


def closed(end: CudaFrameSender | CudaMatteReceiver, card: FakeCuda) -> None:
    card.forbid_wait = False
    end.close()
    end.close()


def test_a_frame_is_published_by_the_first_call_after_its_copy_is_done(
    name: str, card: FakeCuda
) -> None:
    sender = CudaFrameSender(name, device=card)
    reader, device = reader_of(name)
    reader.newest()
    sent = frame_image(card, 1)
    assert sender.send(info(1), sent)
    for _ in range(card.lag - 1):
        assert reader.newest() is None
        assert sender.status.sent == 0
        sender.poll()
    assert reader.newest() is None
    sender.poll()
    assert sender.status.sent == 1
    found = reader.newest()
    assert found is not None
    np.testing.assert_array_equal(host(device, found.pixels), on_card(rgb_of(1, (9, 7))))
    assert reader.finish(found)
    reader.close()
    closed(sender, card)
    card.free(sent.ptr)


def test_the_image_is_kept_until_its_copy_is_done(name: str, card: FakeCuda) -> None:
    class Image(SimpleNamespace):
        """Frees its memory when it is deleted, as CUDAMemory does."""

    def made() -> Image:
        fresh = Image(**vars(frame_image(card, 1)))
        weakref.finalize(fresh, card.free, fresh.ptr)
        return fresh

    sender = CudaFrameSender(name, device=card)
    for seq in range(20):
        sender.send(info(seq), made())
        sender.poll()
        assert card.allocated <= 1 + 2
    assert sender.status.sent > 3
    closed(sender, card)


def test_a_card_that_is_behind_costs_frames_and_no_time(name: str, card: FakeCuda) -> None:
    sender = CudaFrameSender(name, device=card, slot_count=4)
    card.lag = 1000
    sent = frame_image(card, 1)
    assert [sender.send(info(seq), sent) for seq in range(5)] == [True, True, False, False, False]
    assert sender.late == 3
    assert sender.status.sent == 0
    closed(sender, card)
    card.free(sent.ptr)


def test_a_larger_frame_waits_for_its_turn_until_nothing_is_under_way(
    name: str, card: FakeCuda
) -> None:
    sender = CudaFrameSender(name, device=card)
    small, large = frame_image(card, 1), frame_image(card, 2, (400, 400))
    assert sender.send(info(1), small)
    assert not sender.send(info(2), large)
    sender.poll()
    sender.poll()
    assert sender.send(info(3), large)
    closed(sender, card)
    for sent in (small, large):
        card.free(sent.ptr)


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (np.zeros((4, 4, 4), np.uint16), "8-bit fixed"),
        (np.zeros((4, 4, 3), np.uint8), "8-bit fixed"),
        (np.zeros((4, 4, 2), np.uint8), "8-bit fixed"),
        (np.zeros((4, 4, 1), np.float32), "8-bit fixed"),
    ],
)
def test_pixels_that_cannot_be_carried_are_refused(
    name: str, card: FakeCuda, pixels: np.ndarray, told: str
) -> None:
    sender = CudaFrameSender(name, device=card)
    sent = image(card, pixels)
    with pytest.raises(FrameFormatError, match=told):
        sender.send(info(1), sent)
    card.free(sent.ptr)
    sent = frame_image(card, 1)
    sent.size += 64
    with pytest.raises(FrameFormatError, match="without gaps"):
        sender.send(info(1), sent)
    closed(sender, card)
    card.free(sent.ptr)
    with pytest.raises(ShmError, match="closed"):
        sender.send(info(1), sent)
    with pytest.raises(ShmError, match="closed"):
        sender.poll()


@pytest.mark.parametrize("kind", [f for f in PixelFormat if f.channels != 3])
def test_every_format_of_a_texture_is_carried(name: str, card: FakeCuda, kind: PixelFormat) -> None:
    card.lag = 0
    sender = CudaFrameSender(name, device=card)
    reader, device = reader_of(name)
    reader.newest()
    pixels = np.random.default_rng(3).random((11, 5, kind.channels)) * 255
    sent = image(card, pixels.astype(kind.dtype))
    sender.send(info(4), sent)
    found = reader.newest()
    assert found is not None
    assert found.header.format is kind
    np.testing.assert_array_equal(host(device, found.pixels), pixels.astype(kind.dtype))
    reader.close()
    closed(sender, card)
    card.free(sent.ptr)


# --- the receiver: never waits, shows only what is whole, keeps what it showed


@pytest.fixture
def mattes(name: str) -> Iterator[tuple[CudaRingWriter, FakeCuda]]:
    device = FakeCuda(name)
    writer = CudaRingWriter(name, Channel.MATTES, device=device)
    yield writer, device
    writer.close()
    assert device.held == (0, 0, 0, 0)


def put(mattes: tuple[CudaRingWriter, FakeCuda], matte: Matte) -> None:
    writer, device = mattes
    begun = writer.begin(SlotHeader.of_matte(matte), TOUCHDESIGNER)
    for plane in (begun.pixels, begun.fill):
        if plane is not None:
            device.array(plane.pointer, plane.shape, plane.dtype)[...] = matte.info.seq % 256
    writer.publish(begun)


def whole(card: FakeCuda, matte: DeviceMatte) -> bool:
    planes = [matte.alpha] if matte.fill is None else [matte.alpha, matte.fill]
    return all((host(card, plane) == matte.header.info.seq % 256).all() for plane in planes)


def test_a_matte_is_handed_out_by_the_first_call_after_its_copy_is_done(
    name: str, card: FakeCuda, mattes: tuple[CudaRingWriter, FakeCuda]
) -> None:
    receiver = CudaMatteReceiver(name, device=card)
    assert receiver.latest() is None
    put(mattes, shm_peer.matte(seq=7, fill_channels=4))
    for _ in range(card.lag):
        assert receiver.latest() is None
    matte = receiver.latest()
    assert matte is not None
    assert matte.header.info == shm_peer.info(7)
    assert matte.header.confidence == (0.25, 1.0)
    assert matte.header.fill_format is PixelFormat.RGBA8
    assert matte.layout == TOUCHDESIGNER
    assert whole(card, matte)
    assert receiver.latest() is None
    assert receiver.status.connected
    assert receiver.status.received == 1
    closed(receiver, card)
    with pytest.raises(ShmError, match="closed"):
        receiver.latest()


def test_a_matte_overwritten_while_it_is_copied_is_not_handed_out(
    name: str, card: FakeCuda, mattes: tuple[CudaRingWriter, FakeCuda]
) -> None:
    receiver = CudaMatteReceiver(name, device=card)
    receiver.latest()
    handed = []
    for seq in range(1, 200):
        put(mattes, shm_peer.matte(seq=seq, fill_channels=3))
        matte = receiver.latest()
        if matte is not None:
            assert whole(card, matte)
            handed.append(matte.header.info.seq)
        card.lag = seq % 9
    assert handed == sorted(set(handed))
    status = receiver.status
    assert status.torn > 5
    assert status.received == len(handed) > 5
    closed(receiver, card)


def test_what_was_handed_out_stays_until_enough_newer_mattes_came(
    name: str, card: FakeCuda, mattes: tuple[CudaRingWriter, FakeCuda]
) -> None:
    card.lag = 0
    receiver = CudaMatteReceiver(name, device=card)
    receiver.latest()
    kept: list[DeviceMatte] = []
    for seq in range(1, 20):
        put(mattes, shm_peer.matte(shape=(6 + seq, 9, 1), seq=seq, fill_channels=3 * (seq % 2)))
        matte = receiver.latest()
        assert matte is not None
        kept = [*kept, matte][-(MATTES_KEPT - 1) :]
        assert all(whole(card, k) for k in kept)
    closed(receiver, card)


def test_a_receiver_may_go_without_the_fill(
    name: str, card: FakeCuda, mattes: tuple[CudaRingWriter, FakeCuda]
) -> None:
    card.lag = 0
    receiver = CudaMatteReceiver(name, device=card)
    receiver.latest()
    put(mattes, shm_peer.matte(seq=1, fill_channels=4))
    matte = receiver.latest(with_fill=False)
    assert matte is not None
    assert matte.fill is None
    assert matte.header.fill_format is PixelFormat.RGBA8
    put(mattes, shm_peer.matte(shape=(600, 600, 1), seq=2, fill_channels=4))
    matte = receiver.latest()
    assert matte is not None
    assert matte.fill is not None
    assert whole(card, matte)
    closed(receiver, card)


def test_a_receiver_on_another_card_says_so(
    name: str, mattes: tuple[CudaRingWriter, FakeCuda]
) -> None:
    card = FakeCuda(name, uuid=fake_cuda.OTHER_CARD)
    receiver = CudaMatteReceiver(name, device=card)
    receiver.latest()
    put(mattes, shm_peer.matte(seq=1))
    assert receiver.latest() is None
    assert "one card" in receiver.refusal
    assert not receiver.status.connected
    receiver.close()
