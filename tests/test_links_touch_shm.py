"""The link to TouchDesigner's Shared Mem TOPs, against a sender and a receiver of its own."""

from __future__ import annotations

import itertools
import logging
import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import touch_peer
from links_testing import Child, make_matte, wait_for
from promptmatte.clock import RealClock
from promptmatte.errors import ConfigError, LinkError
from promptmatte.frame import PixelFormat
from promptmatte.links import normalized_address, open_client_link, open_server_link
from promptmatte.links.touch_layout import RowOrder
from promptmatte.links.touch_memory import Block, NamedMemory, system_memory
from promptmatte.links.touch_reader import LET_GO_NS, LOOK_NS
from promptmatte.links.touch_shm import TouchShmServerLink
from promptmatte.sources import open_source
from promptmatte_shm.errors import SessionNotFoundError, ShmError
from server_testing import Server, next_matte, status_of
from server_testing import wait_for as wait_for_server
from touch_peer import (
    BGRA8,
    R8,
    SHM,
    Receiver,
    Sender,
    changing,
    child,
    next_frame,
    restless,
    stuck,
)


@pytest.fixture
def name() -> Iterator[str]:
    yield from touch_peer.fresh_name()


@pytest.fixture
def link(name: str) -> Iterator[TouchShmServerLink]:
    link = TouchShmServerLink(f"touch:{name}")
    yield link
    link.close()


def test_the_address_opens_this_link_and_no_client(name: str) -> None:
    assert normalized_address(f"touch:{name}") == f"touch:{name}"
    link = open_server_link(f"touch:{name}")
    assert type(link) is TouchShmServerLink
    assert link.address == f"touch:{name}"
    link.serve(lambda command: {})
    with pytest.raises(LinkError, match="another server"):
        open_server_link(f"touch:{name}")
    link.close()
    open_server_link(f"touch:{name}").close()
    with pytest.raises(ConfigError, match=r"link that carries commands.*pictures only"):
        open_client_link(f"touch:{name}")


def test_the_link_is_a_source(name: str, link: TouchShmServerLink) -> None:
    source = open_source(f"touch:{name}", clock=RealClock(), links=[link])
    assert source.name == f"touch:{name}"
    Sender(name).grey(8)
    assert (wait_for(lambda: source.read(0.2)).pixels == 8).all()
    with pytest.raises(ConfigError, match="link of this server"):
        open_source("touch:other", clock=RealClock(), links=[link])


@pytest.mark.parametrize("address", ["touch:", "touch:a/b", "touch:a b", "touch:" + "x" * 65])
def test_a_name_that_cannot_be_used_is_refused(address: str) -> None:
    for use in (normalized_address, open_server_link):
        with pytest.raises(ConfigError, match="expected touch:NAME"):
            use(address)


def test_that_touchdesigner_is_met_on_windows_only_is_said(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    TouchShmServerLink(f"touch:{name}").close()
    assert ("on Windows only" in caplog.text) == (sys.platform != "win32")


@pytest.mark.skipif(not SHM.is_dir(), reason="looks at the files of Linux's shared memory")
def test_the_segments_have_the_published_names(name: str, link: TouchShmServerLink) -> None:
    link.send_matte(make_matte(1))
    assert (SHM / f"TouchSHM{name}_matte").stat().st_size == 48 + 9 * 7
    assert (SHM / f"TouchSHMTouchSHM{name}_matte4jhd783h").stat().st_size == 76
    link.close()
    assert list(SHM.glob(f"TouchSHM*{name}*")) == []


@pytest.mark.parametrize("order", RowOrder)
@pytest.mark.parametrize("version", [1, 2])
def test_a_picture_comes_over_in_its_colours_and_upright(
    name: str, order: RowOrder, version: int
) -> None:
    link, sender = TouchShmServerLink(f"touch:{name}", row_order=order), Sender(name)
    try:
        top, bottom = bytes([0, 0, 255, 255]) * 3, bytes([255, 0, 0, 64]) * 3
        rows = top + bottom if order is RowOrder.TOP_DOWN else bottom + top
        before_ns = time.monotonic_ns()
        sender.show(BGRA8, 3, 2, rows, version=version)
        frame = next_frame(link)
    finally:
        link.close()
    assert frame.format is PixelFormat.RGBA8
    assert frame.pixels.tolist() == [[[255, 0, 0, 255]] * 3, [[0, 0, 255, 64]] * 3]
    assert before_ns <= frame.info.captured_ns <= time.monotonic_ns()
    assert frame.info.seq == 0


def test_pixels_are_read_from_where_the_header_says(name: str, link: TouchShmServerLink) -> None:
    sender = Sender(name)
    for value, offset in ((7, 48), (8, 4096), (9, 61)):
        sender.show(R8, 5, 4, bytes([value]) * 20, offset=offset)
        assert next_frame(link).pixels.max() == value


def test_only_a_changed_picture_is_a_new_frame(name: str, link: TouchShmServerLink) -> None:
    sender = Sender(name)
    assert link.latest_frame(0.01) is None
    sender.grey(1)
    first = next_frame(link)
    assert link.status.connected
    sender.grey(1)
    assert link.latest_frame(0.05) is None
    sender.grey(2)
    second = next_frame(link)
    assert (first.pixels == 1).all()
    assert (second.pixels == 2).all()
    assert second.info.stream_id == first.info.stream_id
    assert (first.info.seq, second.info.seq) == (0, 1)
    assert second.info.captured_ns > first.info.captured_ns
    with pytest.raises(ValueError, match="read-only"):
        second.pixels[0, 0, 0] = 1
    assert (link.status.received, link.status.rejected) == (2, 0)


def test_a_resize_is_a_new_stream_under_a_new_name(name: str, link: TouchShmServerLink) -> None:
    sender = Sender(name)
    streams = set()
    names = set()
    for value, (width, height) in enumerate([(6, 4), (32, 18), (18, 32), (3, 2)], 1):
        sender.grey(value, width, height)
        frame = next_frame(link)
        assert frame.size_hw == (height, width)
        assert (frame.pixels == value).all()
        assert frame.info.seq == 0
        streams.add(frame.info.stream_id)
        names.add(sender.data_name)
    assert len(streams) == 4
    assert len(names) == 3  # 32 x 18 and 18 x 32 fit the same memory


def test_a_sender_that_goes_comes_back_with_another_size(
    name: str, link: TouchShmServerLink
) -> None:
    sender = Sender(name)
    sender.grey(5)
    first = next_frame(link)
    sender.go()
    assert link.latest_frame(0.05) is None
    again = Sender(name)
    again.grey(5)
    second = next_frame(link)
    assert (second.pixels == 5).all()
    assert second.info.stream_id != first.info.stream_id
    again.go()
    assert link.latest_frame(0.05) is None
    Sender(name).grey(6, 20, 10)
    assert next_frame(link).size_hw == (10, 20)


def test_a_killed_sender_is_waited_for(name: str, link: TouchShmServerLink) -> None:
    for width, height in ((64, 36), (40, 30), (40, 30)):
        process = child(changing, name, width, height)
        try:
            frame = next_frame(link, lambda f, hw=(height, width): f.size_hw == hw)
            next_frame(link, lambda f, seq=frame.info.seq: f.info.seq > seq + 5)
        finally:
            process.kill()
        wait_for(lambda: link.latest_frame(0.05) is None)
    assert link.status.rejected == 0
    assert link.status.received > 15


def test_a_sender_that_resizes_all_the_time_is_read_whole(
    name: str, link: TouchShmServerLink
) -> None:
    process = child(restless, name)
    streams = set()
    try:
        for _ in range(100):
            frame = next_frame(link)
            first, second = frame.pixels[0, 0, 0], frame.pixels[0, 1, 0]
            assert int(first) + int(second) == 255
            assert (frame.pixels[:, ::2] == first).all()
            assert (frame.pixels[:, 1::2] == second).all()
            streams.add(frame.info.stream_id)
    finally:
        process.kill()
    assert len(streams) == 100
    assert link.status.rejected == 0


def test_a_sender_that_dies_with_the_mutex_leaves_it_free(
    name: str, link: TouchShmServerLink
) -> None:
    sender = Sender(name)
    sender.grey(1)
    next_frame(link)
    holder = child(stuck, name)
    sender.data.view[48:] = bytes([2]) * 24
    try:
        for _ in range(5):
            assert link.latest_frame(0.0) is None
    finally:
        holder.kill()
    assert (next_frame(link).pixels == 2).all()


FIELDS = [(0, 4), (4, 4), (8, 4), (12, 4), (24, 4), (32, 8), (40, 4)]


def test_garbage_in_any_field_is_counted_and_passes(name: str) -> None:
    now = itertools.count(0, LOOK_NS)
    link, sender = TouchShmServerLink(f"touch:{name}", clock=lambda: next(now)), Sender(name)
    chance = random.Random(3)
    try:
        sender.show(BGRA8, 6, 4, bytes(96))
        next_frame(link)
        good = bytes(sender.data.view[:48])
        rejected = 0
        for count in range(400):
            place, size = FIELDS[count % len(FIELDS)]
            sender.data.view[:48] = good
            sender.data.view[place : place + size] = chance.randbytes(size)
            assert link.latest_frame() is None
            rejected += 1
            assert link.status.rejected == rejected
        sender.data.view[:48] = chance.randbytes(48)
        assert link.latest_frame() is None
        assert link.latest_frame() is None
        assert link.status.rejected == rejected + 1  # one state, told once
        sender.data.view[:48] = bytes(48)  # nothing there yet is no fault
        assert link.latest_frame() is None
        assert link.status.rejected == rejected + 1
        sender.data.view[:48] = good
        sender.data.view[48:144] = bytes([9]) * 96
        assert (next_frame(link).pixels == 9).all()
    finally:
        link.close()


def test_garbage_in_the_info_is_counted_and_passes(name: str) -> None:
    now = itertools.count(0, LOOK_NS)
    link, sender = TouchShmServerLink(f"touch:{name}", clock=lambda: next(now)), Sender(name)
    chance = random.Random(4)
    try:
        sender.grey(1)
        next_frame(link)
        good = bytes(sender.info.view[:76])
        for count in range(1, 101):
            place, size = [(0, 4), (4, 4), (10, 64)][count % 3]
            sender.info.view[:76] = good
            sender.info.view[place : place + size] = chance.randbytes(size)
            assert link.latest_frame() is None
            assert link.status.rejected == count
        sender.info.view[:76] = good
        sender.grey(2)
        assert (next_frame(link).pixels == 2).all()
    finally:
        link.close()


def test_memory_too_small_for_an_info_or_a_header_is_no_sender(name: str) -> None:
    now = itertools.count(0, LOOK_NS)
    link, sender = TouchShmServerLink(f"touch:{name}", clock=lambda: next(now)), Sender(name)
    try:
        if sys.platform != "win32":  # where memory comes in whole pages
            sender.resize(10)
            sender.data.view[0] = 1
            assert link.latest_frame() is None
            assert link.status.rejected == 1
        sender.memory.remove(sender.data_name)
        sender.memory.remove(sender.info_name)
        sender.info = sender.memory.create(sender.info_name, 8)
        sender.info.view[0] = 1
        assert link.latest_frame() is None
        assert link.status.received == 0
    finally:
        link.close()


def test_a_silent_sender_is_let_go_and_found_again(name: str) -> None:
    memory = CountedMemory(system_memory())
    now = [0]
    link = TouchShmServerLink(f"touch:{name}", memory=memory, clock=lambda: now[0])
    sender = Sender(name)
    try:
        sender.grey(1)
        assert link.latest_frame() is not None
        now[0] += LET_GO_NS - 1
        assert link.latest_frame() is None
        opened = len(memory.opened)
        assert opened == 2
        now[0] += 1
        assert link.latest_frame() is None
        assert link.latest_frame() is None
        assert len(memory.opened) == opened
        now[0] += LOOK_NS
        assert link.latest_frame() is None  # still the picture that was seen
        assert len(memory.opened) == opened + 2
        sender.grey(2)
        now[0] += LOOK_NS
        frame = link.latest_frame()
        assert frame is not None
        assert (frame.pixels == 2).all()
        assert frame.info.seq == 1
        now[0] += 2_000_000_000
        assert not link.status.connected
    finally:
        link.close()


class CountedMemory:
    """Another memory, and the names of what was opened in it."""

    meets_touchdesigner = True

    def __init__(self, memory: NamedMemory) -> None:
        self.opened: list[str] = []
        self.create, self.remove, self.mutex = memory.create, memory.remove, memory.mutex
        self._open = memory.open

    def open(self, name: str) -> Block:
        block = self._open(name)
        self.opened.append(name)
        return block


@pytest.mark.parametrize(
    ("pixel_format", "code"),
    [
        (PixelFormat.GRAY8, 9), (PixelFormat.RGB8, 37), (PixelFormat.RGBA8, 37),
        (PixelFormat.RGBA16F, 97), (PixelFormat.RGBA32F, 109),
    ],
)  # fmt: skip
def test_a_matte_is_shown_upright_in_its_own_format(
    name: str, link: TouchShmServerLink, pixel_format: PixelFormat, code: int
) -> None:
    matte = make_matte(4, (9, 7), pixel_format)
    link.send_matte(matte)
    fields, pixels = Receiver(f"{name}_matte").look()
    assert fields == (7, 9, code)
    np.testing.assert_array_equal(pixels[::-1, :, : pixel_format.channels], matte.alpha)
    if pixel_format is PixelFormat.RGB8:
        assert (pixels[..., 3] == 255).all()
    assert link.status.sent == 1


@pytest.mark.parametrize("fill_format", [PixelFormat.RGB8, PixelFormat.RGBA8])
def test_a_fill_is_shown_beside_its_alpha(
    name: str, link: TouchShmServerLink, fill_format: PixelFormat
) -> None:
    with pytest.raises(SessionNotFoundError):
        system_memory().open(f"TouchSHM{name}_fill")
    matte = make_matte(5, (6, 8), PixelFormat.GRAY8, fill_format)
    link.send_matte(matte)
    fields, pixels = Receiver(f"{name}_fill").look()
    assert fields == (8, 6, 37)
    np.testing.assert_array_equal(pixels[::-1, :, : fill_format.channels], matte.fill)
    np.testing.assert_array_equal(Receiver(f"{name}_matte").look()[1][::-1], matte.alpha)


def test_a_receiver_follows_every_size(name: str, link: TouchShmServerLink) -> None:
    link.send_matte(make_matte(0))
    link.send_matte(make_matte(1, (30, 20)))
    receiver = Receiver(f"{name}_matte")
    postfixes = []
    for seq, size_hw in enumerate([(30, 20), (4, 4), (270, 480), (480, 270), (9, 7)]):
        matte = make_matte(seq, size_hw)
        link.send_matte(matte)
        np.testing.assert_array_equal(receiver.look()[1][::-1], matte.alpha)
        postfixes.append(receiver.postfix)
    # Nobody had looked before the second size, so the name could stay; the turned picture
    # fits the same memory.
    assert postfixes[0] == ""
    assert postfixes[2] == postfixes[3]
    assert len(set(postfixes)) == 4
    assert not receiver.detached
    link.close()
    assert receiver.detached


def test_a_receiver_outlives_a_killed_server(name: str) -> None:
    code = (
        "import sys, time\n"
        "from links_testing import make_matte\n"
        "from promptmatte.links import open_server_link\n"
        "link = open_server_link(sys.argv[1])\n"
        "link.send_matte(make_matte(3))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)"
    )
    server = Child("-c", code, f"touch:{name}")
    try:
        assert server.line() == "ready"
        receiver = Receiver(f"{name}_matte")
        np.testing.assert_array_equal(receiver.look()[1][::-1], make_matte(3).alpha)
    finally:
        server.kill()
    link = TouchShmServerLink(f"touch:{name}")
    try:
        link.send_matte(make_matte(4))
        np.testing.assert_array_equal(receiver.look()[1][::-1], make_matte(4).alpha)
    finally:
        link.close()


def test_a_stuck_reader_costs_mattes_and_no_time(name: str, link: TouchShmServerLink) -> None:
    holder = child(stuck, f"{name}_matte")
    try:
        for seq in range(3):
            link.send_matte(make_matte(seq, fill_format=PixelFormat.RGB8))
        assert (link.status.sent, link.status.missed) == (0, 3)
    finally:
        holder.kill()
    link.send_matte(make_matte(7))
    assert (link.status.sent, link.status.missed) == (1, 3)
    receiver = Receiver(f"{name}_matte")
    holder = child(stuck, f"{name}_matte")
    try:
        link.send_matte(make_matte(8))
        link.send_matte(make_matte(8, (20, 20)))
        assert (link.status.sent, link.status.missed) == (1, 5)
    finally:
        holder.kill()
    np.testing.assert_array_equal(receiver.look()[1][::-1], make_matte(7).alpha)


def test_no_memory_is_an_error_of_the_link(name: str) -> None:
    memory = system_memory()

    class Full(CountedMemory):
        def __init__(self) -> None:
            super().__init__(memory)
            self.create = self.fail

        def fail(self, name: str, size: int, *, adopt: bool = False) -> Block:
            raise ShmError(f"expected room for {size} bytes")

    link = TouchShmServerLink(f"touch:{name}", memory=Full())
    with pytest.raises(LinkError, match="room"):
        link.send_matte(make_matte(1))
    link.close()
    assert (link.status.sent, link.status.missed) == (0, 0)


def test_memory_that_is_kept_from_us_is_waited_for(name: str) -> None:
    class Kept(CountedMemory):
        kept = True

        def open(self, name: str) -> Block:
            if self.kept:
                raise ShmError(f"cannot open shared memory {name!r}: Windows error 5")
            return super().open(name)

    memory, now = Kept(system_memory()), itertools.count(0, LOOK_NS)
    link = TouchShmServerLink(f"touch:{name}", memory=memory, clock=lambda: next(now))
    sender = Sender(name)
    try:
        sender.grey(1)
        assert [link.latest_frame() for _ in range(3)] == [None] * 3
        assert link.status.rejected == 1
        memory.kept = False
        assert (next_frame(link).pixels == 1).all()
    finally:
        link.close()


def test_a_closed_link_says_so_and_leaves_no_thread(name: str) -> None:
    link = TouchShmServerLink(f"touch:{name}")
    failed: list[LinkError] = []

    def wait() -> None:
        try:
            link.latest_frame(60.0)
        except LinkError as error:
            failed.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    link.close()
    link.close()
    thread.join()
    assert "closed" in str(failed[0])
    for use in (
        lambda: link.latest_frame(),
        lambda: link.send_matte(make_matte(1)),
        lambda: link.serve(lambda command: {}),
    ):
        with pytest.raises(LinkError, match="closed"):
            use()
    assert not link.status.connected
    assert [t for t in threading.enumerate() if t.name.startswith("promptmatte")] == []


def test_what_is_found_is_logged_once(
    name: str, link: TouchShmServerLink, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender(name)
    with caplog.at_level(logging.INFO):
        for value in (1, 2, 3):
            sender.grey(value)
            next_frame(link)
        sender.go()
        wait_for(lambda: link.latest_frame(0.05) is None)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"touch:{name}: pictures of 6 x 4 R8", f"touch:{name}: the sender has gone"]


def test_the_server_mattes_what_touchdesigner_shows(
    name: str, session: str, tiny_weights: Path, tmp_path: Path
) -> None:
    with Server(
        "--source", f"touch:{name}", "--prompt", "person", "--weights", tiny_weights,
        "--out", session, log=tmp_path / "log",
    ) as server:  # fmt: skip
        assert status_of(session, server)["frames_in"] == 0
        reader = open_client_link(session)
        try:
            for width, height in ((80, 60), (64, 96)):
                process = child(changing, name, width, height, 0.05)
                try:
                    matte = wait_for_server(
                        lambda hw=(height, width): _of_size(next_matte(reader), hw)
                    )
                    assert matte.alpha.shape == (height, width, 1)
                    receiver = Receiver(f"{name}_matte")
                    shown = (width, height, R8)
                    wait_for_server(lambda r=receiver, s=shown: r.look()[0] == s)
                finally:
                    process.kill()
            entry = [e for e in status_of(session, server)["links"] if e["address"][:5] == "touch"]
            assert entry[0]["address"] == f"touch:{name}"
            assert entry[0]["received"] > 0
            assert entry[0]["sent"] > 0
            assert entry[0]["rejected"] == entry[0]["errors"] == 0
        finally:
            reader.close()


def _of_size(matte: Any, size_hw: tuple[int, int]) -> Any:
    return matte if matte.size_hw == size_hw else None
