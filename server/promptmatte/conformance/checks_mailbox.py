"""Checks of requests: whose reply, how large, how long, in which lane."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from promptmatte_shm.directory import LANE_COUNT, LANE_STRIDE, LANES_AT
from promptmatte_shm.lockfile import LockFile

from promptmatte.conformance.check import checks_of, expect
from promptmatte.conformance.mailbox import (
    PATIENCE_MS,
    RawMailbox,
    RawRequest,
    expect_refusal,
    reply_of,
    request,
    tell_request,
    text_of,
)
from promptmatte.conformance.room import Room

LIMIT = 64 * 1024
NO_OBJECTS = (
    b"", b"{", b"[1]", b"3", b"null", b'"text"', b"\xff\xfe", b'{"a":"\xff"}', b'{"a":1}}',
    b"{'a':1}", b'{"a":01}', b'{"a":1,}', b'{"a" 1}', b"[" * 60000, b'{"a":' * 9000,
)  # fmt: skip
ROUNDS = 12
NOTICE_S = 0.03
"""So long a wrong reply lies there: long enough for a client that looks each 16 ms."""


def echoes(room: Room) -> None:
    """Replies come whole: text of every language, quotes, numbers, nesting."""
    _, client = room.pair()
    for command in (
        {},
        {"text": 'a "quoted" \\ back/slash\n\ttab \x01', "also": "Käse 树木 🌳"},
        {"numbers": [0, -1, 2**53, 1e-9, -2.5e300], "nothing": None, "yes": True},
        {"deep": {"list": [[], [{}], {"a": [1, {"b": "c"}]}]}},
        {"long": "x" * 5000},
    ):
        expect("a reply", {"ok": True, "command": command}, request(client, command))


def _waiting(room: Room, mailbox: RawMailbox) -> RawRequest:
    return room.until("a request in a lane", mailbox.waiting)


def own_reply(room: Room) -> None:
    """A reply under another id is not taken; the one with the request's id is."""
    _, client = room.pair(handler=None)
    mailbox = RawMailbox(room.directory().segment)
    ids: set[int] = set()
    for count in range(4):
        command = {"count": count}
        tell_request(client, command)
        asked = _waiting(room, mailbox)
        expect("the command in the lane", command, json.loads(asked.payload))
        for other in (asked.id ^ 1, asked.id + 2, *ids):
            mailbox.reply(asked.lane, other, b'{"ok":true,"whose":"another"}')
            time.sleep(NOTICE_S)
        mailbox.reply(asked.lane, asked.id, b'{"ok":true,"whose":"mine"}')
        ids.add(asked.id)
        expect("a reply", {"ok": True, "whose": "mine"}, reply_of(client.answer()))
    expect("number of different request ids", 4, len(ids))


def late_reply(room: Room) -> None:
    """The reply to a request that timed out is not taken for that of the next."""
    _, client = room.pair(handler=None)
    mailbox = RawMailbox(room.directory().segment)
    tell_request(client, {"count": 1}, timeout_ms=50)
    first = _waiting(room, mailbox)
    expect_refusal("a request without a reply", client.answer(), "timeout")
    mailbox.reply(first.lane, first.id, b'{"ok":true,"count":1}')
    tell_request(client, {"count": 2})
    second = _waiting(room, mailbox)
    mailbox.reply(first.lane, first.id, b'{"ok":true,"count":1}')
    time.sleep(NOTICE_S)
    mailbox.reply(second.lane, second.id, b'{"ok":true,"count":2}')
    expect("a reply", {"ok": True, "count": 2}, reply_of(client.answer()))


def limit(room: Room) -> None:
    """A command of 65536 bytes is carried, a longer one refused and not sent; so a reply."""
    sizes = []

    def handler(command: Mapping[str, Any]) -> dict[str, Any]:
        sizes.append(len(text_of(command)))
        return {"text": "y" * command.get("size", 0)}

    _, client = room.pair(handler)
    frame = len(text_of({"text": ""}))
    expect("a reply", {"text": ""}, request(client, {"text": "x" * (LIMIT - frame)}))
    answer = client.ask("request", command=text_of({"text": "x" * (LIMIT - frame + 1)}),
                        timeout_ms=PATIENCE_MS)  # fmt: skip
    expect_refusal("a command of 65537 bytes", answer, "too_large")
    reply = request(client, {"size": LIMIT - frame})
    expect("length of the largest reply", LIMIT - frame, len(reply.get("text", "")))
    short = len(text_of({"size": LIMIT - frame}))
    expect("sizes of commands at the server", [LIMIT, short], sizes)


def damaged_reply(room: Room) -> None:
    """A reply with a wrong length or checksum, or that is no JSON object, is an error."""
    _, client = room.pair(handler=None)
    mailbox = RawMailbox(room.directory().segment)
    good = b'{"ok":true}'
    replies: list[tuple[bytes, dict[str, int]]] = [
        (good, {"checksum": 0}),
        (good, {"checksum": 2**64 - 1}),
        (good, {"length": 2**64 - 1}),
        (good, {"length": LIMIT + 1}),
        (good, {"length": 3}),
        *((payload, {}) for payload in NO_OBJECTS),
    ]
    for payload, wrong in replies:
        tell_request(client, {})
        asked = _waiting(room, mailbox)
        mailbox.reply(asked.lane, asked.id, payload, **wrong)
        expect_refusal(f"the reply {payload[:30]!r} with {wrong}", client.answer(), "layout")
    tell_request(client, {})
    asked = _waiting(room, mailbox)
    mailbox.reply(asked.lane, asked.id, good)
    expect("a reply after damaged ones", {"ok": True}, reply_of(client.answer()))


def garbage_in_lanes(room: Room) -> None:
    """What lies in a lane from before does not disturb a request."""
    _, client = room.pair()
    segment, rng = room.directory().segment, np.random.default_rng(2)
    for count in range(ROUNDS):
        for lane in range(LANE_COUNT):
            segment.write(LANES_AT + lane * LANE_STRIDE, rng.bytes(300))
        command = {"count": count}
        expect("a reply", {"ok": True, "command": command}, request(client, command))


def timeout(room: Room) -> None:
    """A request that is not answered in time is withdrawn and never carried out."""
    seen = []

    def handler(command: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(dict(command))
        return {"ok": True}

    server, client = room.pair(handler=None)
    answer = client.ask("request", command=text_of({"do": "stop"}), timeout_ms=100)
    expect_refusal("a request without a reply", answer, "timeout")
    expect("ids of requests in the lanes", [0] * LANE_COUNT,
           RawMailbox(room.directory().segment).ids())  # fmt: skip
    server.serve(handler)
    expect("a reply", {"ok": True}, request(client, {"do": "ping"}))
    expect("commands carried out", [{"do": "ping"}], seen)


def busy_lanes(room: Room) -> None:
    """A lane whose lock another process holds is not used; a free one is."""
    _, client = room.pair()
    mailbox = RawMailbox(room.directory().segment)
    locks = [LockFile(room.name, f"lane{lane}") for lane in range(LANE_COUNT)]
    expect("free lanes", [True] * LANE_COUNT, [lock.acquire() for lock in locks])
    try:
        answer = client.ask("request", command=text_of({}), timeout_ms=100)
        expect_refusal("a request while all lanes are busy", answer, "timeout")
        expect("ids of requests in the lanes", [0] * LANE_COUNT, mailbox.ids())
        locks[5].release()
        expect("a reply", {"ok": True, "command": {}}, request(client, {}))
        used = [lane for lane, message_id in enumerate(mailbox.ids()) if message_id]
        expect("lanes used", [5], used)
    finally:
        for lock in locks:
            lock.release()


def lane_lock(room: Room) -> None:
    """A lane is locked from the request until its reply, and free after it."""
    _, client = room.pair(handler=None)
    mailbox = RawMailbox(room.directory().segment)
    tell_request(client, {})
    asked = _waiting(room, mailbox)
    lock = LockFile(room.name, f"lane{asked.lane}")
    expect("a free lane during a request", False, lock.acquire())
    mailbox.reply(asked.lane, asked.id, b"{}")
    reply_of(client.answer())
    room.until("a free lane after the reply", lock.acquire)
    lock.release()


def at_once(room: Room) -> None:
    """Clients that ask at the same time get each their own replies."""
    room.server()
    clients = [room.connected(room.client()) for _ in range(3)]
    for count in range(ROUNDS):
        commands = [{"who": who, "count": count} for who in range(len(clients))]
        for client, command in zip(clients, commands, strict=True):
            tell_request(client, {**command, "padding": "x" * (count * 997 % 5000)})
        for client, command in zip(clients, commands, strict=True):
            reply = reply_of(client.answer()).get("command", {})
            expect("a reply", command, {name: reply.get(name) for name in command})


def killed_client(room: Room) -> None:
    """A client that is killed while it waits frees its lane; the server answers others."""
    server, client = room.pair(handler=None)
    mailbox = RawMailbox(room.directory().segment)
    tell_request(client, {"from": "the dead"})
    asked = _waiting(room, mailbox)
    client.kill()
    lock = LockFile(room.name, f"lane{asked.lane}")
    room.until("a free lane", lock.acquire)
    lock.release()
    server.serve(lambda command: {"ok": True, "command": dict(command)})
    other = room.connected(room.client())
    for count in range(LANE_COUNT + 1):
        command = {"count": count}
        expect("a reply", {"ok": True, "command": command}, request(other, command))


def server_closes(room: Room) -> None:
    """A request whose server closes meanwhile ends with an error."""
    server, client = room.pair(handler=None)
    mailbox = RawMailbox(room.directory().segment)
    tell_request(client, {}, timeout_ms=1000)
    _waiting(room, mailbox)
    server.close()
    expect_refusal("a request to a closing server", client.answer(), "no_server", "timeout")


CHECKS = checks_of(
    "mailbox",
    (
        echoes, own_reply, late_reply, limit, damaged_reply, garbage_in_lanes, timeout,
        busy_lanes, lane_lock, at_once, killed_client, server_closes,
    ),
)  # fmt: skip
