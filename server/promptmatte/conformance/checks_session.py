"""Checks of joining a session: before its server, after it, and when it is killed."""

from __future__ import annotations

from promptmatte_shm.directory import Channel

from promptmatte.conformance.check import checks_of, expect
from promptmatte.conformance.mailbox import expect_refusal, text_of
from promptmatte.conformance.pictures import (
    Look,
    exchange,
    expect_matte,
    expect_no_matte,
    info,
    read,
    send,
)
from promptmatte.conformance.raw_memory import newest_ticket
from promptmatte.conformance.room import Room

REFUSED_NAMES = ("", "a" * 17, "no/slash", "no.dot", "no blank", "../up")
RUNS = 2


def client_first(room: Room) -> None:
    """A client may start before its server; until then nothing is sent, read or connected."""
    client = room.client()
    expect("connected without a server", False, client.do("status")["connected"])
    expect("a frame is sent without a server", False, send(client, Look(), info(1)))
    expect_no_matte(client, "without a server")
    server = room.server()
    room.connected(client)
    exchange(server, client, 2)


def names(room: Room) -> None:
    """A session name of other characters than A-Z a-z 0-9 _ -, or not of 1 to 16, is refused."""
    program = room.program()
    for name in REFUSED_NAMES:
        expect_refusal(f"open {name!r}", program.ask("open", session=name), "bad_input")


def no_server(room: Room) -> None:
    """A request without a server ends in its time with the error no_server."""
    answer = room.client().ask("request", command=text_of({}), timeout_ms=100)
    expect_refusal("a request without a server", answer, "no_server")


def visits(room: Room) -> None:
    """A client that only reads shows the server that it is there."""
    client, server = room.client(), room.server()
    room.connected(client)

    def seen() -> bool:
        read(client, 10)
        return server.status.connected

    room.until("a server that sees the client visit", seen)


def several(room: Room) -> None:
    """Several clients read the same mattes, each at its own pace."""
    clients, server = [room.client() for _ in range(3)], room.server()
    for client in clients:
        room.connected(client)
    for seq in range(1, 4):
        matte = Look(seed=seq).matte(seq)
        server.send_matte(matte)
        for client in clients[: 4 - seq]:
            expect_matte(client, matte)
    for client, seen in zip(clients, (3, 2, 1), strict=True):
        if seen == 3:
            expect_no_matte(client, "that was read already")
        else:
            expect_matte(client, matte)


def restart(room: Room) -> None:
    """A server that closes is missed, and the next of that name is joined."""
    client = room.client()
    for run in range(RUNS):
        server = room.server()
        room.connected(client)
        exchange(server, client, 10 * run + 1)
        server.send_matte(Look().matte(10 * run + 2))
        server.close()
        room.parted(client)
        expect_no_matte(client, "of a server that has closed")
        room.until("no frame to a closed server", lambda: not send(client, Look(), info(9)))


def killed_server(room: Room) -> None:
    """A server that is killed is missed, the next takes over and is joined."""
    client = room.client()
    process = room.server_process("serve")
    room.until("a matte of the server process", lambda: read(client))
    process.kill()
    room.parted(client)
    server = room.server()
    room.connected(client)
    exchange(server, client, 5)


def stale_matte(room: Room) -> None:
    """A matte that a killed server left unread is not shown when another has taken over."""
    client = room.client()
    process = room.server_process("serve")
    room.until("a matte of the server process", lambda: read(client))
    seen = newest_ticket(room.name, Channel.MATTES)
    room.until(
        "more mattes of the server process",
        lambda: newest_ticket(room.name, Channel.MATTES) > seen + 3,
    )
    process.kill()
    room.parted(client)
    expect_no_matte(client, "of a server that was killed")
    room.server()
    room.connected(client)
    expect_no_matte(client, "before the new server has sent one")


def replaced_server(room: Room) -> None:
    """A killed server that is replaced at once is followed, whether or not it was missed."""
    client = room.client()
    process = room.server_process("serve")
    room.until("a matte of the server process", lambda: read(client))
    send(client, Look(), info(1))
    process.kill()
    process.wait()
    server = room.server()
    while read(client, 0) is not None:
        pass  # the last one of the killed server is an honest matte
    room.connected(client)
    exchange(server, client, 7)


def dead_server(room: Room) -> None:
    """What a killed server left is not shown to a client that comes later."""
    process = room.server_process("serve")
    room.until("a matte of the server process", lambda: newest_ticket(room.name, Channel.MATTES))
    process.kill()
    process.wait()
    client = room.client()
    expect_no_matte(client, "of a server killed before", timeout_ms=300)
    expect("connected to a server killed before", False, client.do("status")["connected"])


CHECKS = checks_of(
    "session",
    (
        client_first, names, no_server, visits, several, restart, killed_server, stale_matte,
        replaced_server, dead_server,
    ),
)  # fmt: skip
