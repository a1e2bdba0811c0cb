"""Requests and replies: several processes at once, bad commands, garbage in the lanes."""

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import shm_peer
from promptmatte_shm import (
    ClientSession,
    LayoutError,
    MessageTooLargeError,
    RequestTimeoutError,
    ServerSession,
    SessionNotFoundError,
)
from promptmatte_shm.directory import LANE_COUNT, LANE_STRIDE, LANES_AT, Directory
from promptmatte_shm.lockfile import LockFile
from promptmatte_shm.mailbox import MailboxServer, _lane, packed, unpacked


@pytest.fixture
def name() -> Iterator[str]:
    yield from shm_peer.fresh_name()


def echo(command: Mapping[str, Any]) -> dict[str, Any]:
    return {"ok": True, "command": dict(command)}


def test_processes_asking_at_once_each_get_their_own_answers(name: str) -> None:
    with ServerSession(name) as server, ExitStack() as stack:
        server.serve(echo)
        peers = [stack.enter_context(shm_peer.peer("ask", name, who, "25")) for who in "abc"]
        for process in peers:
            out, error = process.communicate(timeout=shm_peer.DEADLINE_S)
            assert (out, process.returncode) == ("done\n", 0), error
        assert server.status.rejected == 0


def test_more_threads_than_lanes_wait_for_their_turn(name: str) -> None:
    replies: list[dict[str, Any]] = []
    with ServerSession(name) as server, ClientSession(name) as client:
        server.serve(echo)

        def ask(number: int) -> None:
            replies.append(client.request({"n": number}, shm_peer.DEADLINE_S))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(2 * LANE_COUNT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(reply["command"]["n"] for reply in replies) == list(range(2 * LANE_COUNT))


def test_a_message_that_is_too_large_is_refused_either_way(name: str) -> None:
    with ServerSession(name) as server, ClientSession(name) as client:
        server.serve(lambda command: {"ok": True, "text": "y" * command["size"]})
        with pytest.raises(MessageTooLargeError, match="at most 65536"):
            client.request({"text": "x" * 65536})
        reply = client.request({"size": 65536})
        assert reply["ok"] is False
        assert "at most 65536" in reply["error"]
        fits = 65536 - len('{"ok":true,"text":""}')
        assert len(client.request({"size": fits})["text"]) == fits


def test_a_handlers_fault_is_answered_and_logged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ServerSession(name) as server, ClientSession(name) as client:
        server.serve(lambda command: {"ok": True, "value": 1 // command["by"]})
        with caplog.at_level(logging.ERROR, logger="promptmatte_shm"):
            reply = client.request({"by": 0})
        assert reply["ok"] is False
        assert "ZeroDivisionError" in reply["error"]
        assert "Traceback" in caplog.text
        assert client.request({"by": 1})["value"] == 1


def test_a_reply_that_is_no_json_is_answered_with_an_error(name: str) -> None:
    with ServerSession(name) as server, ClientSession(name) as client:
        server.serve(lambda command: {"value": object()})
        assert client.request({})["ok"] is False


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[1]", b"3", b"null", b"\xff\xfe", b"[" * 60000, b'{"a":' * 9000],
)
def test_garbage_in_a_lane_gets_an_error_reply(name: str, payload: bytes) -> None:
    with ServerSession(name) as server:
        mailbox = MailboxServer(server._directory)
        request, reply = _lane(server._directory, 3)
        request.put(77, payload)
        assert mailbox.poll(echo)
        assert unpacked(reply.get(77))["ok"] is False
        assert mailbox.rejected == 1
        assert not mailbox.poll(echo)
        request.put(78, b'{"a":1}')
        assert mailbox.poll(echo)
        assert unpacked(reply.get(78)) == {"ok": True, "command": {"a": 1}}


def test_a_wrong_length_or_checksum_gets_an_error_reply(name: str) -> None:
    with ServerSession(name) as server:
        mailbox = MailboxServer(server._directory)
        request, reply = _lane(server._directory, 0)
        words = server._directory.segment.words
        for message_id, (word, value) in enumerate(
            [(1, 2**64 - 1), (1, 65537), (1, 3), (2, 12345)], start=5
        ):
            request.put(message_id, b'{"a":1}')
            words[LANES_AT // 8 + word] = value
            assert mailbox.poll(echo)
            answer = unpacked(reply.get(message_id))
            assert answer["ok"] is False
            assert "damaged" in answer["error"] or "at most" in answer["error"]


def test_random_bytes_over_all_lanes_do_not_stop_the_server(name: str) -> None:
    rng = np.random.default_rng(2)
    with ServerSession(name) as server, ClientSession(name) as client:
        server.serve(echo)
        segment = server._directory.segment
        for _ in range(20):
            for lane in range(LANE_COUNT):
                segment.write(LANES_AT + lane * LANE_STRIDE, rng.bytes(300))
            time.sleep(0.003)
        assert client.request({"still": "here"}, shm_peer.DEADLINE_S) == {
            "ok": True,
            "command": {"still": "here"},
        }
        assert server.status.rejected > 0


def test_a_damaged_reply_is_an_error(name: str) -> None:
    with ServerSession(name) as server:
        _, reply = _lane(server._directory, 0)
        reply.put(5, b'{"ok":true}')
        with pytest.raises(LayoutError, match="damaged"):
            reply.get(6)


def test_a_request_nobody_answers_times_out_and_is_never_carried_out(name: str) -> None:
    seen: list[Mapping[str, Any]] = []
    with ServerSession(name) as server, ClientSession(name) as client:
        with pytest.raises(RequestTimeoutError, match="in time"):
            client.request({"do": "stop"}, timeout_s=0.1)
        server.serve(lambda command: seen.append(command) or {"ok": True})  # type: ignore[func-returns-value]
        assert client.request({"do": "ping"}, shm_peer.DEADLINE_S) == {"ok": True}
    assert seen == [{"do": "ping"}]


def test_a_request_made_to_a_dead_server_is_not_carried_out_by_the_next(name: str) -> None:
    with ServerSession(name) as server:
        request, _ = _lane(server._directory, 0)
        request.put(9, packed({"do": "stop"}))
        again = MailboxServer(Directory.attach(name))
        assert not again.poll(echo)


def test_without_a_server_a_request_says_so(name: str) -> None:
    with ClientSession(name) as client, pytest.raises(SessionNotFoundError, match="start it"):
        client.request({}, timeout_s=0.05)


def test_a_killed_clients_lanes_are_free_again(name: str) -> None:
    with ServerSession(name) as server, ClientSession(name) as client:
        held = [LockFile(name, f"lane{index}") for index in range(LANE_COUNT)]
        assert all(lock.acquire() for lock in held)
        server.serve(echo)
        with pytest.raises(RequestTimeoutError, match="free mailbox lane"):
            client.request({}, timeout_s=0.1)
        # what the system does for a killed process: its descriptors are closed
        held[4].release()
        assert client.request({"a": 1}, shm_peer.DEADLINE_S)["ok"] is True
        for lock in held:
            lock.release()


def test_the_server_may_be_closed_from_a_handler(name: str) -> None:
    server = ServerSession(name)

    def stop(command: Mapping[str, Any]) -> dict[str, Any]:
        threading.Thread(target=server.close).start()
        return {"ok": True}

    server.serve(stop)
    with ClientSession(name) as client:
        assert client.request({"do": "stop"}, shm_peer.DEADLINE_S) == {"ok": True}
        shm_peer.until(lambda: not client.status.connected)
    shm_peer.until(lambda: not shm_peer.leftovers(name))


def test_packing_is_plain_json() -> None:
    assert json.loads(packed({"text": "räd", "list": [1, 2.5, None]})) == {
        "text": "räd",
        "list": [1, 2.5, None],
    }
