"""What every link promises, asked of each kind."""

import random
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from links_testing import PATIENCE_S, Child, free_address, make_frame, make_matte, wait_for
from promptmatte.errors import CommandError, ConfigError, LinkError
from promptmatte.frame import Frame, FrameInfo, Matte, PixelFormat
from promptmatte.links import (
    ClientLink,
    ServerLink,
    normalized_address,
    open_client_link,
    open_server_link,
)
from promptmatte.sources.link import LinkSource
from promptmatte_shm import FrameDelay

FILLS = [None, PixelFormat.RGB8, PixelFormat.RGBA8]

SERVER = """
import os, sys, time
from links_testing import make_matte
from promptmatte.links import open_server_link
link = open_server_link(sys.argv[1])
link.serve(lambda command: {"pid": os.getpid()})
seq = 0
while True:
    link.send_matte(make_matte(seq))
    seq += 1
    time.sleep(0.01)
"""

READER = """
import sys
from promptmatte.links import open_client_link
link = open_client_link(sys.argv[1])
while True:
    matte = link.latest_matte(1.0)
    if matte is not None:
        print(matte.info.seq, flush=True)
"""


class Ends:
    """Opens both ends of one address, and child processes; closes them all."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.address = free_address(kind)
        self.links: list[ServerLink | ClientLink] = []
        self.children: list[Child] = []

    def server(self) -> ServerLink:
        self.links.append(link := open_server_link(self.address))
        return link

    def client(self) -> ClientLink:
        self.links.append(link := open_client_link(self.address))
        return link

    def child(self, code: str) -> Child:
        self.children.append(child := Child("-c", code, self.address))
        return child

    def close(self) -> None:
        for child in self.children:
            child.kill()
        for link in reversed(self.links):
            link.close()


@pytest.fixture(params=["shm", "zmq"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    ends = Ends(request.param)
    yield ends
    ends.close()


def next_matte(client: ClientLink, wanted: Callable[[Matte], bool] = lambda matte: True) -> Matte:
    def look() -> Matte | None:
        matte = client.latest_matte(0.2)
        return matte if matte is not None and wanted(matte) else None

    return wait_for(look)


def assert_same(got: Matte, sent: Matte) -> None:
    assert got.info == sent.info
    assert got.format is sent.format
    assert got.anchor_seq == sent.anchor_seq
    assert got.age_ms == sent.age_ms
    assert got.confidence == sent.confidence
    assert got.prompts_version == sent.prompts_version
    np.testing.assert_array_equal(got.alpha, sent.alpha)
    assert got.fill_format is sent.fill_format
    if sent.fill is not None:
        np.testing.assert_array_equal(got.fill, sent.fill)


def test_each_address_opens_its_own_kind(ends: Ends) -> None:
    module = f"promptmatte.links.{ends.kind}"
    server = ends.server()
    assert type(server).__module__ == module
    assert type(ends.client()).__module__ == module
    assert server.address == ends.address


@pytest.mark.parametrize("size_hw", [(1, 1), (53, 37), (270, 480)])
@pytest.mark.parametrize(
    "pixel_format",
    [PixelFormat.GRAY8, PixelFormat.RGBA8, PixelFormat.RGBA16F, PixelFormat.RGBA32F],
)
def test_a_matte_arrives_as_it_was(
    ends: Ends, pixel_format: PixelFormat, size_hw: tuple[int, int]
) -> None:
    server, client = ends.server(), ends.client()
    sent = make_matte(4, size_hw, pixel_format)
    server.send_matte(sent)
    assert_same(next_matte(client), sent)
    assert client.latest_matte() is None


@pytest.mark.parametrize("size_hw", [(1, 1), (53, 37), (270, 480)])
@pytest.mark.parametrize("pixel_format", [PixelFormat.GRAY8, PixelFormat.RGBA8])
@pytest.mark.parametrize("fill_format", FILLS)
def test_a_matte_arrives_with_its_fill(
    ends: Ends,
    fill_format: PixelFormat | None,
    pixel_format: PixelFormat,
    size_hw: tuple[int, int],
) -> None:
    server, client = ends.server(), ends.client()
    sent = make_matte(4, size_hw, pixel_format, fill_format)
    server.send_matte(sent)
    got = next_matte(client)
    assert_same(got, sent)
    if got.fill is not None:
        with pytest.raises(ValueError, match="read-only"):
            got.fill[0, 0, 0] = 1


def test_a_fill_may_come_go_and_change_size_at_any_time(ends: Ends) -> None:
    server, client, second = ends.server(), ends.client(), ends.client()
    sizes = [(16, 16), (16, 16), (270, 480), (3, 5), (540, 960), (540, 961), (16, 16)]
    kept = []
    for seq in range(4 * len(sizes)):
        fill_format = FILLS[seq % 3]
        sent = make_matte(seq, sizes[seq // 2 % len(sizes)], fill_format=fill_format)
        server.send_matte(sent)
        for reader in (client, second):
            kept.append((next_matte(reader, lambda m, s=seq: m.info.seq == s), sent))
            assert_same(*kept[-1])
    for got, sent in kept:
        assert_same(got, sent)
    assert client.status.rejected == second.status.rejected == 0


def test_a_reader_may_go_without_the_fill(ends: Ends) -> None:
    server, client, other = ends.server(), ends.client(), ends.client()
    for seq, fill_format in enumerate([*FILLS, *FILLS]):
        sent = make_matte(seq, (20, 30), PixelFormat.RGBA8, fill_format)
        server.send_matte(sent)
        without = wait_for(lambda: client.latest_matte(0.2, with_fill=False))
        assert_same(without, replace(sent, fill=None))
        assert_same(next_matte(other), sent)
    server.send_matte(sent)
    assert_same(next_matte(client), sent)


def test_a_fill_that_does_not_lie_in_one_piece_arrives_as_it_looks(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    whole = make_matte(1, (20, 20), fill_format=PixelFormat.RGBA8)
    part = replace(whole, alpha=whole.alpha[::2, 3:14], fill=whole.fill[::-2, 3:14, :3])
    server.send_matte(part)
    assert_same(next_matte(client), part)


def test_a_sender_finds_its_own_frame_of_every_matte(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    source, delay = LinkSource(server), FrameDelay(6)
    chance = random.Random(2)
    waiting: deque[FrameInfo] = deque()
    found = 0
    for seq in range(60):
        frame = make_frame(seq)
        delay.put(frame)
        client.send_frame(frame)
        read: Frame = wait_for(lambda: source.read(0.2))
        assert read.info == frame.info
        if chance.random() < 0.8:
            waiting.append(read.info)
        while len(waiting) > chance.randrange(1, 5):
            info = waiting.popleft()
            server.send_matte(replace(make_matte(info.seq), info=info))
            matte = next_matte(client)
            own = delay.of(matte)
            assert own is None or own.info == matte.info == info
            if own is not None:
                np.testing.assert_array_equal(own.pixels, make_frame(info.seq).pixels)
                found += 1
    assert found > 30
    assert delay.misses + found == client.status.received


def test_frames_of_every_format_arrive_as_they_were(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    for seq, pixel_format in enumerate(PixelFormat):
        sent = make_frame(seq, (23, 41), pixel_format)
        client.send_frame(sent)
        got = wait_for(lambda: server.latest_frame(0.2))
        assert got.info == sent.info
        assert got.format is pixel_format
        np.testing.assert_array_equal(got.pixels, sent.pixels)
    assert server.latest_frame() is None
    assert server.status.received == len(PixelFormat)
    wait_for(lambda: client.status.sent == len(PixelFormat))


def test_a_picture_that_does_not_lie_in_one_piece_arrives_as_it_looks(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    whole = make_matte(1, (20, 20))
    part = Matte(
        info=whole.info,
        alpha=whole.alpha[::2, 3:14],
        anchor_seq=0,
        age_ms=0.0,
        confidence=(1.0,),
        prompts_version=0,
    )
    server.send_matte(part)
    np.testing.assert_array_equal(next_matte(client).alpha, whole.alpha[::2, 3:14])


def test_a_reader_gets_the_newest_and_counts_the_rest(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    server.send_matte(make_matte(0))
    next_matte(client)
    for seq in range(1, 51):
        server.send_matte(make_matte(seq))
    seen = [0]
    while seen[-1] != 50:
        seen.append(next_matte(client).info.seq)
    assert seen == sorted(set(seen))
    assert client.latest_matte() is None
    status = client.status
    assert status.received == len(seen)
    assert status.missed == 51 - len(seen) > 0
    assert server.status.sent == 51


def test_the_server_gets_the_newest_frame(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    client.send_frame(make_frame(0))
    wait_for(lambda: server.latest_frame(0.2))
    for seq in range(1, 51):
        client.send_frame(make_frame(seq))
    seen = [0]
    while seen[-1] != 50:
        seen.append(wait_for(lambda: server.latest_frame(0.2)).info.seq)
    assert seen == sorted(set(seen))
    assert server.status.missed == 51 - len(seen) > 0


def test_a_reader_that_comes_late_gets_the_matte_that_is_there(ends: Ends) -> None:
    server = ends.server()
    server.send_matte(make_matte(8))
    for _ in range(2):
        assert next_matte(ends.client()).info.seq == 8


def test_every_reader_gets_the_matte(ends: Ends) -> None:
    server = ends.server()
    clients = [ends.client() for _ in range(3)]
    for seq in range(3):
        server.send_matte(make_matte(seq))
        for client in clients:
            assert_same(next_matte(client, lambda m, s=seq: m.info.seq == s), make_matte(seq))


def test_the_size_may_change_at_any_time(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    sizes = [(16, 16), (270, 480), (3, 5), (540, 960), (540, 961), (16, 16)]
    for seq, size_hw in enumerate(sizes):
        pixel_format = PixelFormat.RGBA8 if seq % 2 else PixelFormat.GRAY8
        client.send_frame(make_frame(seq, size_hw))
        assert wait_for(lambda: server.latest_frame(0.2)).size_hw == size_hw
        server.send_matte(make_matte(seq, size_hw, pixel_format))
        assert_same(next_matte(client), make_matte(seq, size_hw, pixel_format))


def test_what_was_received_is_read_only_and_stays(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    server.send_matte(make_matte(0))
    client.send_frame(make_frame(0))
    matte, frame = next_matte(client), wait_for(lambda: server.latest_frame(0.2))
    for seq in range(1, 13):
        server.send_matte(make_matte(seq))
        client.send_frame(make_frame(seq))
        next_matte(client, lambda m, s=seq: m.info.seq == s)
        wait_for(lambda: server.latest_frame(0.2))
    for kept, sent in ((matte.alpha, make_matte(0).alpha), (frame.pixels, make_frame(0).pixels)):
        np.testing.assert_array_equal(kept, sent)
        with pytest.raises(ValueError, match="read-only"):
            kept[0, 0, 0] = 1


def test_commands_are_answered_refused_and_survived(ends: Ends) -> None:
    def handler(command):
        if command["do"] == "refuse":
            raise CommandError("expected something else; got refuse")
        return {"echo": dict(command)} if command["do"] == "echo" else command["nothing"]

    server, client = ends.server(), ends.client()
    server.serve(handler)
    echo = {"do": "echo", "text": "grüße 红", "list": [1, -2.5, None, True], "map": {"a": {}}}
    for _ in range(2):
        answer = client.request(echo, PATIENCE_S)
        assert answer["ok"] is True
        assert answer["echo"] == echo
        assert client.request({"do": "refuse"}, PATIENCE_S) == {
            "ok": False,
            "error": "expected something else; got refuse",
        }
        crashed = client.request({"do": "crash"}, PATIENCE_S)
        assert crashed["ok"] is False
        assert crashed["error"].startswith("internal error")


def test_commands_of_several_threads_get_their_own_answers(ends: Ends) -> None:
    server, client, other = ends.server(), ends.client(), ends.client()
    server.serve(lambda command: {"n": command["n"]})
    got: dict[int, int] = {}

    def ask(link: ClientLink, first: int) -> None:
        for n in range(first, first + 5):
            got[n] = link.request({"n": n}, PATIENCE_S)["n"]

    threads = [
        threading.Thread(target=ask, args=args)
        for args in ((client, 0), (client, 5), (other, 10), (other, 15))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: n for n in range(20)}


def test_an_answer_that_comes_too_late_is_nobodys(ends: Ends) -> None:
    go_on = threading.Event()

    def handler(command):
        if command["n"] == 0:
            go_on.wait(PATIENCE_S)
        return {"n": command["n"]}

    server, client = ends.server(), ends.client()
    server.serve(handler)
    assert client.request({"n": 9}, PATIENCE_S)["n"] == 9
    with pytest.raises(LinkError):
        client.request({"n": 0}, 0.2)
    go_on.set()
    for n in range(1, 4):
        assert client.request({"n": n}, PATIENCE_S) == {"ok": True, "n": n}


def test_what_cannot_be_sent_is_refused_on_its_own_side(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    server.serve(lambda command: {"odd": object()} if command.get("odd") else {})
    for bad in ({"x": object()}, {"x": "y" * 2_000_000}):
        with pytest.raises(CommandError, match="expected"):
            client.request(bad, PATIENCE_S)
    assert client.request({"odd": True}, PATIENCE_S)["ok"] is False
    assert client.request({}, PATIENCE_S) == {"ok": True}


def test_a_closed_end_says_so(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    client.close()
    server.close()
    for use in (
        lambda: server.send_matte(make_matte(0)),
        lambda: server.latest_frame(PATIENCE_S),
        lambda: client.send_frame(make_frame(0)),
        lambda: client.latest_matte(PATIENCE_S),
        lambda: client.request({}, PATIENCE_S),
    ):
        with pytest.raises(LinkError, match="closed"):
            use()
    assert server.status.connected is client.status.connected is False


def test_without_a_server_there_is_no_matte_and_no_answer(ends: Ends) -> None:
    client = ends.client()
    assert client.latest_matte(0.05) is None
    assert client.status.connected is False
    with pytest.raises(LinkError, match=r"expected a .*server"):
        client.request({"do": "anything"}, 0.2)


def test_each_end_sees_the_other(ends: Ends) -> None:
    server = ends.server()
    assert server.status.connected is False
    client = ends.client()
    wait_for(lambda: client.status.connected and server.status.connected)
    client.close()
    wait_for(lambda: not server.status.connected)
    other = ends.client()
    wait_for(lambda: other.status.connected)
    server.close()
    wait_for(lambda: not other.status.connected)


def test_closing_twice_is_safe_and_leaves_no_thread_and_a_free_address(ends: Ends) -> None:
    for _ in range(2):
        server, client = ends.server(), ends.client()
        server.serve(lambda command: {})
        server.send_matte(make_matte(0))
        next_matte(client)
        assert client.request({}, PATIENCE_S)["ok"] is True
        for link in (client, server):
            link.close()
            link.close()
        assert [t for t in threading.enumerate() if t.name.startswith("promptmatte")] == []


def test_a_second_server_is_refused_and_the_first_goes_on(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    with pytest.raises(LinkError, match="another"):
        open_server_link(ends.address)
    server.send_matte(make_matte(3))
    assert next_matte(client).info.seq == 3


def test_a_client_outlives_a_killed_server(ends: Ends) -> None:
    client = ends.client()
    old = ends.child(SERVER)
    assert wait_for(lambda: try_request(client)) == old.process.pid
    # Far enough that the next server's numbers are lower.
    next_matte(client, lambda m: m.info.seq >= 20)
    old.kill()
    wait_for(lambda: not client.status.connected)
    while client.latest_matte(0.1) is not None:
        pass
    new = ends.server()
    new.serve(lambda command: {"pid": "new"})
    new.send_matte(make_matte(2))
    assert_same(next_matte(client), make_matte(2))
    assert wait_for(lambda: try_request(client)) == "new"
    client.send_frame(make_frame(1))
    assert wait_for(lambda: new.latest_frame(0.2)).info.seq == 1


def try_request(client: ClientLink) -> object:
    try:
        return client.request({}, 1.0)["pid"]
    except LinkError:
        return None


def test_a_server_outlives_a_killed_reader(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    server.serve(lambda command: {})
    stop = threading.Event()
    sending = threading.Thread(target=send_until, args=(server, stop))
    sending.start()
    try:
        for _ in range(2):
            reader = ends.child(READER)
            assert reader.line().isdigit()
            reader.kill()
        seen = next_matte(client).info.seq
        assert next_matte(client).info.seq > seen
        assert client.request({}, PATIENCE_S)["ok"] is True
    finally:
        stop.set()
        sending.join()


def send_until(server: ServerLink, stop: threading.Event) -> None:
    seq = 0
    while not stop.is_set():
        server.send_matte(make_matte(seq))
        seq += 1
        time.sleep(0.005)


def test_a_stopped_reader_stops_nobody_else(ends: Ends) -> None:
    server, client = ends.server(), ends.client()
    server.send_matte(make_matte(0))
    reader = ends.child(READER)
    assert reader.line() == "0"
    if hasattr(signal, "SIGSTOP"):
        reader.process.send_signal(signal.SIGSTOP)
    template = make_matte(0, (1080, 1920))
    for seq in range(1, 101):
        server.send_matte(
            Matte(
                info=make_matte(seq, (1, 1)).info,
                alpha=template.alpha,
                anchor_seq=0,
                age_ms=0.0,
                confidence=(1.0,),
                prompts_version=0,
            )
        )
    assert next_matte(client, lambda m: m.info.seq == 100).size_hw == (1080, 1920)
    if hasattr(signal, "SIGCONT"):
        reader.process.send_signal(signal.SIGCONT)
    wait_for(lambda: reader.line() == "100")


@pytest.mark.parametrize("address", ["", "shm", "tcp://127.0.0.1:5571", "sdi:studio", "SHM:x"])
@pytest.mark.parametrize("open_link", [open_server_link, open_client_link, normalized_address])
def test_an_unknown_kind_of_link_is_refused(open_link: Callable, address: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a link such as shm:NAME or zmq:.*; got "):
        open_link(address)


@pytest.mark.parametrize(
    ("typed", "full"),
    [
        ("zmq:", "zmq:tcp://127.0.0.1:5571"),
        ("zmq:tcp://localhost:05571", "zmq:tcp://127.0.0.1:5571"),
        ("zmq:tcp://127.0.0.1:6000", "zmq:tcp://127.0.0.1:6000"),
        ("shm:stage", "shm:stage"),
    ],
)
def test_an_address_has_one_full_form(typed: str, full: str) -> None:
    assert normalized_address(typed) == full
