"""The ports of a show: which there are, which are taken, and by whom."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from links_testing import Child
from promptmatte.commands.config import serve_parser
from promptmatte.commands.serve_show import Show
from promptmatte.commands.show_file import SETTINGS
from promptmatte.errors import ConfigError
from promptmatte.service.port_holder import port_holder
from promptmatte.service.ports import LISTENING, Port, ports_of

LISTENER = """\
import socket, sys, time
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
with socket.socket(socket.AF_INET, kind) as held:
    held.bind(("127.0.0.1", 0))
    if sys.argv[1] == "tcp":
        held.listen()
    print(held.getsockname()[1], flush=True)
    time.sleep(600)
"""


def seen(settings: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(port.host, port.number, port.protocol) for port in ports_of(settings)]


def test_ports_are_read_from_the_settings_whatever_their_form() -> None:
    assert seen({"out": ["shm:a", "zmq:tcp://127.0.0.1:6000"], "source": "zmq:"}) == [
        ("127.0.0.1", number, "tcp") for number in (5999, 6000, 6001, 5570, 5571, 5572)
    ]
    assert seen({"osc": "5573", "metrics": 9570}) == [
        ("127.0.0.1", 5573, "udp"), ("127.0.0.1", 9570, "tcp"),
    ]  # fmt: skip
    assert seen({"osc": "0.0.0.0:7000"}) == [("0.0.0.0", 7000, "udp")]
    assert seen({"metrics": "[::1]:7001"}) == [("::1", 7001, "tcp")]
    assert seen({"web": "0.0.0.0:7860"}) == [("0.0.0.0", 7860, "tcp")]
    assert seen({"web": None, "osc": "0"}) == []
    with pytest.raises(ConfigError, match="expected --osc as a port"):
        ports_of({"osc": "host:"})


def test_every_option_that_listens_is_known(tmp_path: Path) -> None:
    """An option of serve whose example is a port is one of these."""
    parser = serve_parser()
    with_port = {
        action.dest
        for action in parser._actions
        if action.dest in SETTINGS and "PORT" in str(action.metavar)
    }
    assert with_port - {"osc_feedback"} <= set(LISTENING)
    path = tmp_path / "show.toml"
    path.write_text("out = ['zmq:']\nosc = '5573'\nmetrics = 9570\n", encoding="utf-8")
    arguments = parser.parse_args(["--config", str(path)])
    Show.read(arguments)
    assert [number for _, number, _ in seen(vars(arguments))] == [5570, 5571, 5572, 5573, 9570]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_taken_port_is_found_with_who_has_it(protocol: str) -> None:
    child = Child("-c", LISTENER, protocol)
    try:
        number = int(child.line())
        port = Port(host="127.0.0.1", number=number, protocol=protocol, purpose="--metrics")
        assert port.is_taken()
        told = port.taken_by()
        assert f"{protocol.upper()} port {number} of 127.0.0.1 to be free for --metrics" in told
        if sys.platform == "linux":
            assert f"(process {child.process.pid})" in told
            assert Path(f"/proc/{child.process.pid}/comm").read_text().strip() in told
        else:
            assert str(number) in told
    finally:
        child.kill()
    assert not port.is_taken()


def test_an_address_that_this_machine_has_not_is_no_taken_port() -> None:
    """The Wi-Fi is not there yet, say: the server tells that better (192.0.2.1 is nobody's)."""
    assert not Port(host="192.0.2.1", number=5573, protocol="udp", purpose="--osc").is_taken()


def test_a_free_port_and_a_port_elsewhere_are_not_taken() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number = found.getsockname()[1]
    assert not Port(host="127.0.0.1", number=number, protocol="tcp", purpose="").is_taken()
    assert not Port(host="no.such.host.invalid", number=1, protocol="tcp", purpose="").is_taken()


def test_without_a_holder_there_is_a_way_to_find_it(tmp_path: Path) -> None:
    told = port_holder(5571, "tcp", proc=tmp_path)
    assert "5571" in told
    assert ("netstat" if os.name == "nt" else "lsof -nP -iTCP:5571 -sTCP:LISTEN") in told
