"""CURVE on an address that other machines reach: who has no key gets nothing at all."""

import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
import zmq
from links_testing import PATIENCE_S, free_zmq_address, make_frame, make_matte, port_of, wait_for
from promptmatte.cli import main
from promptmatte.errors import ConfigError, LinkError
from promptmatte.links import wire
from promptmatte.links.keys import KeyFolder
from promptmatte.links.wire import Stamp
from promptmatte.links.zmq import ZmqClientLink, ZmqServerLink
from promptmatte.links.zmq_sockets import ZmqAddress

SILENCE_S = 1.0
"""How long a stranger is listened to; a client with a key has all it wants in a tenth of that."""


def own_address() -> str:
    """An address of this machine that others can reach, or the one that means all of them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.200", 9))  # sends nothing
            host = str(probe.getsockname()[0])
        except OSError:
            return "0.0.0.0"
    return "0.0.0.0" if host.startswith("127.") else host


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    """A server's keys, and those of one client in `client` beside them."""
    folder = KeyFolder(tmp_path / "server")
    folder.make_server()
    folder.make_client("stage-left", tmp_path / "client")
    monkeypatch.setenv("PROMPTMATTE_KEYS", str(folder.path))
    return folder


@pytest.fixture
def address() -> str:
    return f"zmq:tcp://{own_address()}:{port_of(free_zmq_address())}"


@pytest.fixture
def server(keys: KeyFolder, address: str) -> Iterator[ZmqServerLink]:
    link = ZmqServerLink(address)
    handled: list[object] = []
    link.serve(lambda command: handled.append(command) or {"handled": len(handled)})
    yield link
    link.close()


@pytest.fixture
def client(
    server: ZmqServerLink, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ZmqClientLink]:
    monkeypatch.setenv("PROMPTMATTE_KEYS", str(tmp_path / "client"))
    link = ZmqClientLink(address)
    yield link
    link.close()


def handled_by(client: ZmqClientLink) -> int:
    """How many commands reached the handler, this one too."""
    return int(client.request({"command": "ping"}, PATIENCE_S)["handled"])


def test_a_client_with_a_key_has_everything(server: ZmqServerLink, client: ZmqClientLink) -> None:
    assert handled_by(client) == 1
    client.send_frame(make_frame(3))
    wait_for(lambda: (f := server.latest_frame(0.2)) is not None and f.info.seq == 3)
    server.send_matte(make_matte(4))
    wait_for(lambda: (m := client.latest_matte(0.2)) is not None and m.info.seq == 4)


@pytest.mark.parametrize("stranger", ["plain", "unknown key", "revoked", "no server key"])
def test_a_stranger_gets_nothing(
    keys: KeyFolder, server: ZmqServerLink, client: ZmqClientLink, address: str, stranger: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    other = KeyFolder(tmp_path / "other")
    other.make_server()
    other.make_client("x", tmp_path / "x")
    pair = KeyFolder(tmp_path / "x").client_pair()
    server_key = keys.server_pair().public
    if stranger == "revoked":
        pair = KeyFolder(tmp_path / "client").client_pair()
        handled_by(client)
        keys.revoke("stage-left")
    elif stranger == "no server key":
        pair = KeyFolder(tmp_path / "client").client_pair()
        server_key = other.server_pair().public
    context = zmq.Context()

    def connected(kind: int, offset: int) -> zmq.Socket:
        raw = context.socket(kind)
        raw.linger = 0
        if stranger != "plain":
            raw.curve_publickey, raw.curve_secretkey = pair.public, pair.secret
            raw.curve_serverkey = server_key
        raw.connect(
            f"{address.removeprefix('zmq:').rpartition(':')[0]}:{port_of(address) + offset}"
        )
        return raw

    control, mattes, frames = (
        connected(*of) for of in ((zmq.DEALER, -1), (zmq.SUB, 0), (zmq.PUSH, 1))
    )
    mattes.subscribe(b"")
    try:
        frame = make_frame(9)
        header = wire.encode_frame(frame, Stamp(sender=9, serial=0))
        control.send_multipart([b"", msgpack.packb({"command": "stop"})])
        frames.send_multipart([header, frame.pixels.tobytes()])
        poller = zmq.Poller()
        poller.register(control, zmq.POLLIN)
        poller.register(mattes, zmq.POLLIN)
        until_s = time.monotonic() + SILENCE_S
        while time.monotonic() < until_s:
            server.send_matte(make_matte(5))
            assert poller.poll(50) == []
        assert server.latest_frame() is None
        assert server.status.received == 0
        if stranger != "revoked":
            assert handled_by(client) == 1
    finally:
        for raw in (control, mattes, frames):
            raw.close()
        context.term()


def test_a_new_client_needs_no_restart(
    keys: KeyFolder, server: ZmqServerLink, address: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    keys.make_client("late", tmp_path / "late")
    monkeypatch.setenv("PROMPTMATTE_KEYS", str(tmp_path / "late"))
    late = ZmqClientLink(address)
    try:
        assert late.request({"command": "ping"}, PATIENCE_S)["ok"]
    finally:
        late.close()


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "192.168.1.5", "studio.local", "127.0.0.1.example.org"]
)
@pytest.mark.parametrize(
    ("link", "advice"), [(ZmqServerLink, "keys new"), (ZmqClientLink, "keys client")]
)
def test_without_keys_other_machines_are_not_reached(
    link: type, advice: str, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTMATTE_KEYS", str(tmp_path))
    with pytest.raises(ConfigError, match=rf"expected CURVE keys in .*promptmatte {advice}"):
        link(f"zmq:tcp://{host}:5571")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("localhost", True), ("0.0.0.0", False),
     ("192.0.2.2", False), ("localhost.example.org", False), ("127.1", False)],
)  # fmt: skip
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert ZmqAddress.parse(f"zmq:tcp://{host}:5571").is_loopback is loopback


def test_loopback_needs_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTMATTE_KEYS", str(tmp_path))
    ZmqServerLink(free_zmq_address()).close()


def test_secret_keys_are_for_the_user_alone_and_never_shown(
    keys: KeyFolder, tmp_path: Path
) -> None:
    pair = keys.server_pair()
    assert pair.secret.decode() not in repr(pair)
    secrets = [*tmp_path.rglob("*.key_secret")]
    assert len(secrets) == 2
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_damaged_key_file_is_said_and_lets_nobody_in(keys: KeyFolder) -> None:
    (keys.path / "clients" / "stage-left.key").write_text("nonsense")
    assert keys.clients() == {}
    (keys.path / "server.key_secret").write_text('curve\n    public-key = "short"\n')
    with pytest.raises(ConfigError, match="expected a key file in"):
        keys.server_pair()


def test_keys_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str, code: int = 0) -> str:
        assert main(["keys", *arguments, "--dir", str(tmp_path / "keys")]) == code
        return "".join(capsys.readouterr())

    shown = said("new")
    assert KeyFolder(tmp_path / "keys").server_pair().public.decode() in shown
    assert "expected a folder without a server's keys" in said("new", code=2)
    out = tmp_path / "carry"
    shown = said("client", "td", "--out", str(out))
    assert sorted(path.name for path in out.iterdir()) == [
        "client.key", "client.key_secret", "server.key",
    ]  # fmt: skip
    assert KeyFolder(out).client_pair().public.decode() in shown
    assert KeyFolder(out).client_pair().secret.decode() not in shown
    assert "expected a client's name" in said("client", "../x", code=2)
    assert said("list").startswith("td ")
    said("revoke", "td")
    assert said("list") == ""


def test_an_unreachable_secure_server_is_an_error_of_the_link(
    keys: KeyFolder, client: ZmqClientLink, server: ZmqServerLink
) -> None:
    server.close()
    with pytest.raises(LinkError, match="expected a PromptMatte server"):
        client.request({"command": "ping"}, 0.2)
