"""The ZeroMQ link apart from the contract: addresses, ports, and whatever strangers send."""

import random
import socket
import time
from collections.abc import Iterator

import msgpack
import pytest
import zmq
from links_testing import (
    PATIENCE_S,
    free_zmq_address,
    make_frame,
    make_matte,
    port_of,
    wait_for,
)
from promptmatte.errors import ConfigError, LinkError
from promptmatte.frame import PixelFormat
from promptmatte.links import wire
from promptmatte.links.wire import Stamp
from promptmatte.links.zmq import ZmqClientLink, ZmqServerLink
from promptmatte.links.zmq_sockets import ZmqAddress

CONTROL, MATTES, FRAMES = -1, 0, 1


@pytest.fixture
def address() -> str:
    return free_zmq_address()


@pytest.fixture
def server(address: str) -> Iterator[ZmqServerLink]:
    link = ZmqServerLink(address)
    link.serve(lambda command: {"echo": dict(command)})
    yield link
    link.close()


@pytest.fixture
def client(address: str) -> Iterator[ZmqClientLink]:
    link = ZmqClientLink(address)
    yield link
    link.close()


class Strangers:
    """Raw sockets that know nothing of the checks, on the ports of one address."""

    def __init__(self, address: str) -> None:
        self._port = port_of(address)
        self._context = zmq.Context()
        self._sockets: list[zmq.Socket] = []

    def connect(self, kind: int, offset: int) -> zmq.Socket:
        raw = self._make(kind)
        raw.connect(f"tcp://127.0.0.1:{self._port + offset}")
        return raw

    def bind(self, kind: int, offset: int) -> zmq.Socket:
        raw = self._make(kind)
        raw.bind(f"tcp://127.0.0.1:{self._port + offset}")
        return raw

    def close(self) -> None:
        for raw in self._sockets:
            raw.close(linger=0)
        self._context.term()

    def _make(self, kind: int) -> zmq.Socket:
        raw = self._context.socket(kind)
        raw.sndtimeo = raw.rcvtimeo = int(PATIENCE_S * 1000)
        self._sockets.append(raw)
        return raw


@pytest.fixture
def strangers(address: str) -> Iterator[Strangers]:
    strangers = Strangers(address)
    yield strangers
    strangers.close()


def assert_serves(server: ZmqServerLink, client: ZmqClientLink, seq: int) -> None:
    """Each of the three sockets still does its work."""
    assert client.request({"n": seq}, PATIENCE_S)["echo"] == {"n": seq}
    client.send_frame(make_frame(seq))
    wait_for(lambda: (f := server.latest_frame(0.2)) is not None and f.info.seq == seq)
    server.send_matte(make_matte(seq))
    wait_for(lambda: (m := client.latest_matte(0.2)) is not None and m.info.seq == seq)


def test_the_short_address_is_the_default_one() -> None:
    assert str(ZmqAddress.parse("zmq:")) == "zmq:tcp://127.0.0.1:5571"
    assert ZmqAddress.parse("zmq:") == ZmqAddress.parse("zmq:tcp://127.0.0.1:5571")


@pytest.mark.parametrize(
    "address",
    [
        "zmq:5571",
        "zmq:tcp://127.0.0.1",
        "zmq:tcp://127.0.0.1:",
        "zmq:tcp://:5571",
        "zmq:tcp://127.0.0.1:x",
        "zmq:tcp://127.0.0.1:-1",
        "zmq:tcp://127.0.0.1:5571/",
        "zmq:tcp://127.0.0.1:5571\n",
        "zmq:tcp://*:5571",
        "zmq:ipc:///run/x",
        "zmq:tcp://" + "a" * 5000,
    ],
)
@pytest.mark.parametrize("link", [ZmqServerLink, ZmqClientLink])
def test_a_malformed_address_is_refused(link: type, address: str) -> None:
    with pytest.raises(ConfigError, match=r"expected zmq:tcp://HOST:PORT .*; got ") as caught:
        link(address)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("port", [0, 1, 65535, 99999])
@pytest.mark.parametrize("link", [ZmqServerLink, ZmqClientLink])
def test_a_port_without_neighbours_is_refused(link: type, port: int) -> None:
    with pytest.raises(ConfigError, match=f"expected a matte port of 2 to 65534.*got {port}"):
        link(f"zmq:tcp://127.0.0.1:{port}")


def test_localhost_is_this_machine(address: str) -> None:
    server = ZmqServerLink(address.replace("127.0.0.1", "localhost"))
    client = ZmqClientLink(address)
    try:
        server.send_matte(make_matte(3))
        assert wait_for(lambda: client.latest_matte(0.2)).info.seq == 3
    finally:
        client.close()
        server.close()


@pytest.mark.parametrize("offset", [CONTROL, MATTES, FRAMES])
def test_a_taken_port_is_named_and_the_others_are_given_back(address: str, offset: int) -> None:
    port = port_of(address) + offset
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(LinkError, match=rf"expected port {port} .*taken.*zmq:tcp://127"):
            ZmqServerLink(address)
    again = wait_for(lambda: open_when_free(address))
    again.close()


def open_when_free(address: str) -> ZmqServerLink | None:
    try:
        return ZmqServerLink(address)
    except LinkError:
        return None


def test_a_frame_sent_before_the_server_came_arrives_the_newest_first(
    address: str, client: ZmqClientLink
) -> None:
    for seq in range(5):
        client.send_frame(make_frame(seq))
    assert client.status.missed == 4
    server = ZmqServerLink(address)
    try:
        assert wait_for(lambda: server.latest_frame(0.2)).info.seq == 4
        assert server.latest_frame(0.2) is None
    finally:
        server.close()


def test_a_matte_sent_again_is_read_once(
    server: ZmqServerLink, client: ZmqClientLink, strangers: Strangers
) -> None:
    raw = strangers.connect(zmq.SUB, MATTES)
    raw.subscribe(b"")
    server.send_matte(make_matte(5))
    assert wait_for(lambda: client.latest_matte(0.2)).info.seq == 5
    heard = [raw.recv_multipart() for _ in range(4)]
    assert heard.count([b"beat"]) <= 1
    assert len({parts[1] for parts in heard if parts[0] == b"matte"}) == 1
    assert client.latest_matte() is None
    assert client.status.missed == 0


def test_a_plain_request_socket_is_answered(server: ZmqServerLink, strangers: Strangers) -> None:
    raw = strangers.connect(zmq.REQ, CONTROL)
    raw.send(msgpack.packb({"n": 1}))
    assert msgpack.unpackb(raw.recv()) == {"ok": True, "echo": {"n": 1}}


def test_a_malformed_command_is_answered_with_the_reason(
    server: ZmqServerLink, strangers: Strangers
) -> None:
    raw = strangers.connect(zmq.REQ, CONTROL)
    for bad in (b"", b"garbage", msgpack.packb([1]), msgpack.packb({1: 2}), b"\x91" * 5000):
        raw.send(bad)
        answer = msgpack.unpackb(raw.recv())
        assert answer["ok"] is False
        assert answer["error"].startswith("expected a command")
    assert server.status.rejected == 5


def test_garbage_messages_are_counted_and_the_server_goes_on(
    server: ZmqServerLink, client: ZmqClientLink, strangers: Strangers
) -> None:
    chance = random.Random(11)
    frames = strangers.connect(zmq.PUSH, FRAMES)
    control = strangers.connect(zmq.DEALER, CONTROL)
    readers = strangers.connect(zmq.XSUB, MATTES)
    for _ in range(200):
        for raw in (frames, control, readers):
            parts = [
                chance.randbytes(chance.choice((0, 1, 9, 80, 2000)))
                for _ in range(chance.randrange(1, 6))
            ]
            raw.send_multipart(parts)
    wait_for(lambda: server.status.rejected >= 400)
    assert server.status.rejected == 400
    assert server.status.received == 0
    assert_serves(server, client, 1)


def test_frames_of_wrong_sizes_are_counted_and_the_server_goes_on(
    server: ZmqServerLink, client: ZmqClientLink, strangers: Strangers
) -> None:
    frame = make_frame(1, (4, 3))
    header = wire.encode_frame(frame, Stamp(sender=1, serial=0))
    pixels = frame.pixels.tobytes()
    bad = [
        [header],
        [header, pixels, b""],
        [header, pixels[:-1]],
        [header, pixels + b"x"],
        [header, b""],
        [b"x" * (wire.MAX_HEADER_BYTES + 1), pixels],
        [header, pixels, *[b""] * 1000],
    ]
    raw = strangers.connect(zmq.PUSH, FRAMES)
    for parts in bad:
        raw.send_multipart(parts)
    raw.send_multipart([header, pixels])
    assert wait_for(lambda: server.latest_frame(0.2)).info == frame.info
    assert server.status.rejected == len(bad)
    assert server.status.received == 1
    assert_serves(server, client, 2)


def test_a_command_over_the_limit_ends_that_connection_only(
    server: ZmqServerLink, client: ZmqClientLink, strangers: Strangers
) -> None:
    raw = strangers.connect(zmq.DEALER, CONTROL)
    events = raw.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    raw.send_multipart([b"", bytes(wire.MAX_COMMAND_BYTES + 1)])
    assert events.poll(int(PATIENCE_S * 1000))
    raw.disable_monitor()
    events.close(linger=0)
    assert server.status.rejected == 0
    assert_serves(server, client, 1)


@pytest.mark.parametrize("offset", [CONTROL, MATTES, FRAMES])
def test_bytes_that_are_no_zeromq_end_that_connection_only(
    server: ZmqServerLink, client: ZmqClientLink, address: str, offset: int
) -> None:
    chance = random.Random(offset)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(55, b"\x00")
    for start in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, greeting):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port_of(address) + offset), 5) as raw:
                try:
                    raw.sendall(start + chance.randbytes(chance.randrange(3000)))
                except ConnectionError:
                    continue
    assert_serves(server, client, 1)


def test_garbage_from_a_server_is_counted_and_the_client_goes_on(
    address: str, strangers: Strangers
) -> None:
    chance = random.Random(3)
    fake = strangers.bind(zmq.PUB, MATTES)
    client = ZmqClientLink(address)
    try:
        good = make_matte(1)
        header = wire.encode_matte(good, Stamp(sender=1, serial=1))
        filled = make_matte(2, fill_format=PixelFormat.RGB8)
        filled_header = wire.encode_matte(filled, Stamp(sender=1, serial=2))
        pixels, fill = filled.alpha.tobytes(), filled.fill.tobytes()
        bad_fills = [
            [header, pixels, fill],
            [filled_header, pixels],
            [filled_header, pixels, b""],
            [filled_header, pixels, fill[:-1]],
            [filled_header, pixels, fill + fill],
            [filled_header, fill, pixels],
            [filled_header, pixels, fill, b""],
        ]

        def look() -> bool:
            fake.send_multipart([b"matte", chance.randbytes(60), chance.randbytes(9)])
            fake.send_multipart([b"matte", header])
            fake.send_multipart([b"matte", header, good.alpha.tobytes(), b""])
            fake.send_multipart([b"matte", header, b""])
            fake.send_multipart([b"beat", b"more"])
            for parts in bad_fills:
                fake.send_multipart([b"matte", *parts])
            time.sleep(0.002)
            return client.status.rejected >= 30

        wait_for(look)
        assert client.status.connected is False
        assert client.latest_matte() is None
        wait_for(lambda: fake.send_multipart([b"beat"]) or client.status.connected)
        fake.send_multipart([b"matte", header, good.alpha.tobytes()])
        assert wait_for(lambda: client.latest_matte(0.2)).info == good.info
        fake.send_multipart([b"matte", filled_header, pixels, fill])
        got = wait_for(lambda: client.latest_matte(0.2))
        assert got.fill.tobytes() == fill
        assert client.latest_matte() is None
    finally:
        client.close()


def test_a_wrong_answer_is_no_answer(address: str, strangers: Strangers) -> None:
    fake = strangers.bind(zmq.ROUTER, CONTROL)
    client = ZmqClientLink(address)
    try:
        with pytest.raises(LinkError, match="got no answer in"):
            client.request({}, 0.3)
        peer, mark, _ = fake.recv_multipart()
        fake.send_multipart([peer, mark, msgpack.packb({"late": True})])
        fake.close(linger=0)
        with pytest.raises(LinkError, match=r"is `promptmatte serve` running"):
            client.request({}, 0.1)
    finally:
        client.close()


def test_a_second_handler_is_refused(server: ZmqServerLink) -> None:
    with pytest.raises(LinkError, match="expected one handler"):
        server.serve(lambda command: {})
