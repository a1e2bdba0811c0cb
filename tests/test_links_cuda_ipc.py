"""The CUDA IPC link: pixels as people see them, refusals, and other processes coming and going.

The card is tests/fake_cuda.py, torch works on the CPU; what only a real card has is marked gpu.
"""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import fake_cuda
import numpy as np
import pytest
import torch
from cuda_copier_testing import CpuCopier
from cuda_peer import (
    exchange_name,
    fingerprint,
    host,
    image,
    info,
    lying,
    on_card,
    rgb_of,
    said,
    size_of,
)
from fake_cuda import FakeCuda
from links_testing import Child, make_matte, wait_for
from promptmatte.errors import ConfigError, LinkError, SourceError
from promptmatte.frame import Matte, PixelFormat
from promptmatte.links import (
    normalized_address,
    open_client_link,
    open_server_link,
)
from promptmatte.links.cuda_ipc import CudaServerLink
from promptmatte.sources import open_source
from promptmatte.sources.link import LinkSource
from promptmatte_shm import cuda_reader, cuda_writer
from promptmatte_shm.cuda_client import CudaFrameSender, CudaMatteReceiver
from promptmatte_shm.cuda_driver import available
from promptmatte_shm.cuda_ring import (
    TOUCHDESIGNER,
)
from promptmatte_shm.directory import Channel
from sources_testing import SimulatedClock


@pytest.fixture
def name() -> Iterator[str]:
    yield from exchange_name()


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_writer, "_REAP_S", 0.0)
    monkeypatch.setattr(cuda_reader, "_LOOK_AGAIN_S", 0.0)


class Server:
    """The link of a server, its card and its copier."""

    def __init__(self, name: str) -> None:
        self.device = FakeCuda(name)
        self.copier = CpuCopier(self.device)
        self.link = CudaServerLink(f"cuda:{name}", device=self.device, copier=self.copier)


@pytest.fixture
def server(name: str) -> Iterator[Server]:
    server = Server(name)
    yield server
    server.link.close()
    server.link.close()
    assert server.device.held == (0, 0, 0, 0)


class Compositor:
    """Both ends of a program beside the server, as TouchDesigner's extension has them."""

    def __init__(self, name: str) -> None:
        self.device = FakeCuda(name, forbid_wait=True)
        self.sender = CudaFrameSender(name, device=self.device)
        self.receiver = CudaMatteReceiver(name, device=self.device)
        self._images: list[int] = []

    def send(self, seq: int, pixels: np.ndarray) -> None:
        sent = image(self.device, pixels)
        self._images.append(sent.ptr)
        assert self.sender.send(info(seq), sent)

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()
        for pointer in self._images:
            self.device.free(pointer)
        assert self.device.held == (0, 0, 0, 0)


@pytest.fixture
def compositor(name: str, server: Server) -> Iterator[Compositor]:
    compositor = Compositor(name)
    for _ in range(2):  # each sees the other move
        server.link.latest_frame()
        compositor.sender.poll()
        compositor.receiver.latest()
    yield compositor
    closing = threading.Thread(target=server.link.close)
    closing.start()
    while closing.is_alive():  # lets go of the mattes, as a compositor that cooks does
        compositor.receiver.latest()
    compositor.close()


def test_a_frame_arrives_as_people_see_it(server: Server, compositor: Compositor) -> None:
    for seq, size_hw in enumerate([(1, 1), (270, 479), (61, 3)]):
        compositor.send(seq, on_card(rgb_of(seq, size_hw)))
        frame = server.link.latest_frame()
        assert frame is not None
        assert frame.info == info(seq)
        assert frame.format is PixelFormat.RGB8
        np.testing.assert_array_equal(frame.pixels, rgb_of(seq, size_hw))
        assert server.link.latest_frame() is None
    assert server.link.status.received == 3
    assert server.link.status.connected
    assert compositor.sender.status.connected


def test_frames_keep_their_pixels(server: Server, compositor: Compositor) -> None:
    kept = []
    for seq in range(20):
        compositor.send(seq, on_card(rgb_of(seq, (20, 30))))
        frame = server.link.latest_frame()
        assert frame is not None
        kept.append(frame)
    for seq, frame in enumerate(kept):
        np.testing.assert_array_equal(frame.pixels, rgb_of(seq, (20, 30)))
        with pytest.raises(ValueError, match="read-only"):
            frame.pixels[0, 0, 0] = 1


@pytest.mark.parametrize("fill_format", [None, PixelFormat.RGB8, PixelFormat.RGBA8])
@pytest.mark.parametrize("alpha_format", [PixelFormat.GRAY8, PixelFormat.RGBA8])
def test_a_matte_arrives_laid_out_for_touchdesigner(
    server: Server,
    compositor: Compositor,
    alpha_format: PixelFormat,
    fill_format: PixelFormat | None,
) -> None:
    for seq, size_hw in enumerate([(53, 37), (1, 1), (270, 480)]):
        sent = make_matte(seq, size_hw, alpha_format, fill_format)
        server.link.send_matte(sent)
        got = compositor.receiver.latest()
        assert got is not None
        assert got.layout == TOUCHDESIGNER
        assert_same(got.header, sent)
        alpha = host(compositor.device, got.alpha)
        np.testing.assert_array_equal(lying(alpha, TOUCHDESIGNER), sent.alpha)
        assert (got.fill is None) == (sent.fill is None)
        if got.fill is not None and sent.fill is not None:
            fill = lying(host(compositor.device, got.fill), TOUCHDESIGNER)
            np.testing.assert_array_equal(fill[..., : sent.fill.shape[2]], sent.fill)
            if fill_format is PixelFormat.RGB8:
                assert (fill[..., 3] == 255).all()
    assert server.link.status.sent == compositor.receiver.status.received == 3
    assert compositor.receiver.status.connected


def assert_same(header: object, sent: Matte) -> None:
    for field in ("info", "anchor_seq", "age_ms", "confidence", "prompts_version", "fill_format"):
        assert getattr(header, field) == getattr(sent, field)
    assert header.format is sent.format


def test_a_matte_that_does_not_lie_in_one_piece_arrives_as_it_looks(
    server: Server, compositor: Compositor
) -> None:
    whole = make_matte(1, (20, 20), fill_format=PixelFormat.RGBA8)
    part = replace(whole, alpha=whole.alpha[::2, 3:14], fill=whole.fill[::-2, 3:14, :3])
    server.link.send_matte(part)
    got = compositor.receiver.latest()
    assert got is not None
    alpha = host(compositor.device, got.alpha)
    np.testing.assert_array_equal(lying(alpha, TOUCHDESIGNER), part.alpha)


def test_a_frame_overwritten_while_it_comes_down_is_not_returned(
    server: Server, compositor: Compositor
) -> None:
    compositor.send(1, on_card(rgb_of(1, (9, 7))))
    later = iter(range(2, 7))

    def overtake() -> None:
        for seq in later:
            compositor.send(seq, on_card(rgb_of(seq, (9, 7))))

    server.copier.before_done = overtake
    assert server.link.latest_frame() is None
    frame = server.link.latest_frame()
    assert frame is not None
    assert frame.info.seq == 6
    np.testing.assert_array_equal(frame.pixels, rgb_of(6, (9, 7)))
    assert server.link.status.torn == 1


def test_frames_of_another_process_through_every_size(name: str, server: Server) -> None:
    child = Child("cuda_peer.py", "frames", name)
    try:
        seen: list[int] = []

        def look() -> bool:
            frame = LinkSource(server.link).read(0.05)
            if frame is not None:
                seq = frame.info.seq
                np.testing.assert_array_equal(frame.pixels, rgb_of(seq, size_of(seq)))
                seen.append(seq)
            return bool(seen) and seen[-1] > 40

        wait_for(look)
        assert seen == sorted(set(seen))
        assert child.process.poll() is None
        child.kill()
        fake_cuda.forget_memory(name)
        wait_for(lambda: server.link.latest_frame() is None and not server.link.status.connected)
    finally:
        child.kill()
    assert server.device.held == (0, 0, 0, 0)


def test_a_compositor_outlives_killed_servers(name: str) -> None:
    compositor = Compositor(name)
    for turn in (1, 2, 3):
        child = Child("cuda_peer.py", "serve", name)
        try:
            seqs = iter(range(1000 * turn, 1000 * turn + 900))

            def shown(seqs: Iterator[int] = seqs, turn: int = turn) -> bool:
                compositor.sender.poll()
                if compositor.sender.status.connected:
                    seq = next(seqs)
                    compositor.send(seq, on_card(rgb_of(seq, (20, 30))))
                matte = compositor.receiver.latest()
                if matte is None:
                    return False
                sent = make_matte(matte.header.info.seq, (20, 30), PixelFormat.RGBA8)
                alpha = lying(host(compositor.device, matte.alpha), TOUCHDESIGNER)
                np.testing.assert_array_equal(alpha, sent.alpha)
                return sent.info.seq > 1000 * turn + 20

            wait_for(shown)
        finally:
            child.kill()
        fake_cuda.forget_memory(name)
    compositor.close()


def test_frames_from_another_card_are_refused_with_the_reason(name: str, server: Server) -> None:
    child = Child("cuda_peer.py", "frames", name, "other")
    try:

        def refused() -> str:
            try:
                server.link.latest_frame(0.05)
            except SourceError as error:
                return str(error)
            return ""

        told = wait_for(refused)
        assert "expected both programs on one card" in told
        assert "GPU-02020202-0202" in told
        assert "CUDA_VISIBLE_DEVICES" in told
        assert not server.link.status.connected
        server.link.send_matte(make_matte(1))
    finally:
        child.kill()


def test_a_second_server_is_refused_and_the_first_goes_on(
    name: str, server: Server, compositor: Compositor
) -> None:
    device = FakeCuda(name)
    with pytest.raises(LinkError, match="another program"):
        CudaServerLink(f"cuda:{name}", device=device, copier=CpuCopier(device))
    assert device.held == (0, 0, 0, 0)
    server.link.send_matte(make_matte(1))
    assert compositor.receiver.latest() is not None


def test_a_refused_link_leaves_nothing_behind(name: str, server: Server) -> None:
    device = FakeCuda(name)
    server.link.close()
    readers = [
        cuda_reader.CudaRingReader(
            name, Channel.FRAMES, device=device, counts=cuda_reader.ReadCounts()
        )
        for _ in range(8)
    ]
    with pytest.raises(LinkError, match="one more"):
        CudaServerLink(f"cuda:{name}", device=device, copier=CpuCopier(device))
    for reader in readers:
        reader.close()
    CudaServerLink(f"cuda:{name}", device=device, copier=CpuCopier(device)).close()


def test_errors_of_torch_are_the_links(
    server: Server, compositor: Compositor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    compositor.send(1, on_card(rgb_of(1, (9, 7))))
    with monkeypatch.context() as patch:
        patch.setattr(server.copier, "upload", full)
        patch.setattr(server.copier, "download", full)
        with pytest.raises(LinkError, match="out of memory"):
            server.link.send_matte(make_matte(1))
        with pytest.raises(SourceError, match="out of memory"):
            server.link.latest_frame()
    assert server.link.latest_frame() is not None
    assert compositor.receiver.latest() is None
    server.link.send_matte(make_matte(2))
    matte = compositor.receiver.latest()
    assert matte is not None
    assert matte.header.info.seq == 2


def test_a_closed_link_says_so(server: Server) -> None:
    server.link.close()
    assert not server.link.status.connected
    for use in (
        lambda: server.link.latest_frame(9.0),
        lambda: server.link.send_matte(make_matte(1)),
    ):
        with pytest.raises(LinkError, match="closed"):
            use()


def test_it_carries_no_commands_and_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        server.link.serve(lambda command: {})
    assert "carries no commands: send them over shm:NAME" in caplog.text
    with pytest.raises(ConfigError, match=r"carries commands.*pictures only"):
        open_client_link(server.link.address)


def test_a_source_is_found_by_the_address(server: Server) -> None:
    source = open_source(server.link.address, clock=SimulatedClock(), links=[server.link])
    assert source.name == server.link.address
    assert source.read(0.01) is None
    assert normalized_address("cuda:stage") == "cuda:stage"


@pytest.mark.parametrize("address", ["cuda:", "cuda:a b", "cuda:0123456789abcdefg", "cuda:a/b"])
def test_an_unusable_name_is_refused(address: str) -> None:
    for use in (open_server_link, normalized_address):
        with pytest.raises(ConfigError, match="1 to 16 letters"):
            use(address)


@pytest.mark.skipif(available().usable, reason="there is a card")
def test_without_a_card_the_link_says_what_to_do_instead(name: str) -> None:
    with pytest.raises(LinkError, match="use shm:NAME instead"):
        open_server_link(f"cuda:{name}")


def test_the_module_imports_no_torch() -> None:
    code = (
        "import sys, promptmatte.links.cuda_ipc\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "print('none')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "none\n"), done.stderr


# --- on a real card


@pytest.mark.gpu
def test_pictures_go_round_on_a_real_card(name: str) -> None:
    found = available()
    if not found.usable:
        pytest.skip(found.about)
    link = open_server_link(f"cuda:{name}")
    sending = Child("cuda_peer.py", "frames", name, "real")
    receiving = Child("cuda_peer.py", "mattes", name, "real")
    try:
        assert sending.line() == receiving.line() == "ready"
        seen = 0
        while seen < 30:
            frame = wait_for(lambda: link.latest_frame(0.2))
            seen = frame.info.seq
            np.testing.assert_array_equal(frame.pixels, rgb_of(seen, size_of(seen)))
            matte = make_matte(seen, frame.size_hw, PixelFormat.RGBA8, PixelFormat.RGB8)
            link.send_matte(matte)
        told = ""
        while not told.startswith(f"{seen} "):
            link.send_matte(matte)
            told = said(receiving, link.latest_frame)
        alpha = fingerprint(lying(np.asarray(matte.alpha), TOUCHDESIGNER))
        assert alpha in told.split()
    finally:
        for child in (sending, receiving):
            child.kill()
        link.close()
