"""The adapter between shared-memory sessions and PromptMatte's link protocols."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import shm_peer
from promptmatte.errors import CommandError, ConfigError, LinkError, PromptError
from promptmatte.links.reply import answer
from promptmatte.links.shm import ShmClientLink, ShmServerLink, session_name


@pytest.fixture
def address() -> Iterator[str]:
    for name in shm_peer.fresh_name():
        yield f"shm:{name}"


def test_frames_mattes_and_commands_pass(address: str) -> None:
    server, client = ShmServerLink(address), ShmClientLink(address)
    try:
        server.serve(lambda command: {"seen": command["n"]})
        assert server.address == address
        assert client.request({"n": 3}, shm_peer.DEADLINE_S) == {"ok": True, "seen": 3}
        client.send_frame(shm_peer.frame(2))
        frame = server.latest_frame(shm_peer.DEADLINE_S)
        assert frame is not None
        assert frame.pixels.flat[0] == 2
        server.send_matte(shm_peer.matte(3))
        matte = client.latest_matte(shm_peer.DEADLINE_S)
        assert matte is not None
        assert matte.alpha.flat[0] == 3
        shm_peer.until(lambda: client.status.connected and server.status.connected)
        assert (client.status.sent, client.status.received) == (1, 1)
    finally:
        client.close()
        server.close()


def test_refusals_are_answers_and_the_server_goes_on(address: str) -> None:
    def handler(command: Mapping[str, Any]) -> dict[str, Any]:
        if "text" not in command:
            raise PromptError("expected a text")
        return {"ok": True}

    server, client = ShmServerLink(address), ShmClientLink(address)
    try:
        server.serve(handler)
        refused = client.request({}, shm_peer.DEADLINE_S)
        assert refused == {"ok": False, "error": "expected a text"}
        assert client.request({"text": "cat"}, shm_peer.DEADLINE_S) == {"ok": True}
        with pytest.raises(CommandError, match="at most 65536"):
            client.request({"text": "x" * 70000})
        with pytest.raises(CommandError, match="JSON"):
            client.request({"text": object()})
    finally:
        client.close()
        server.close()


def test_errors_are_promptmattes_own(address: str) -> None:
    for bad in ("shm:", "shm:a b", "zmq:tcp://x", "promptmatte"):
        with pytest.raises(ConfigError):
            session_name(bad)
    client = ShmClientLink(address)
    with pytest.raises(LinkError, match="found none"):
        client.request({}, timeout_s=0.02)
    server = ShmServerLink(address)
    with pytest.raises(LinkError, match="in use"):
        ShmServerLink(address)
    client.close()
    server.close()
    with pytest.raises(LinkError, match="closed"):
        server.latest_frame()


def test_an_answer_is_made_of_whatever_the_handler_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(command: Mapping[str, Any]) -> dict[str, Any]:
        raise KeyError("gone")

    assert answer(dict, {"a": 1}) == {"ok": True, "a": 1}
    assert answer(dict, {"ok": False}) == {"ok": False}
    with caplog.at_level(logging.ERROR):
        reply = answer(broken, {})
    assert reply == {"ok": False, "error": "internal error: KeyError: 'gone'"}
    assert "Traceback" in caplog.text
