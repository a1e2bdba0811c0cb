"""Checks of several senders of frames, and of what a client leaves behind."""

from __future__ import annotations

from promptmatte_shm import PixelFormat, ServerSession
from promptmatte_shm.directory import Channel, directory_name

from promptmatte.conformance.candidate import Candidate
from promptmatte.conformance.check import CheckFailedError, checks_of, expect
from promptmatte.conformance.pictures import (
    READ_MS,
    Look,
    exchange,
    expect_frame,
    expect_matte,
    info,
    send,
)
from promptmatte.conformance.room import SHM, Room, exists, expect_gone


def _two(room: Room) -> tuple[ServerSession, Candidate, Candidate]:
    """A server, an older sender that has sent a frame, and a newer one that took over."""
    server, old = room.pair()
    expect_frame(server, old, Look(seed=1), info(1))
    new = room.connected(room.client())
    expect_frame(server, new, Look(seed=2), info(2))
    return server, old, new


def newest(room: Room) -> None:
    """The newest sender has the frames; an older one rests, and its ring goes."""
    server, old = room.pair()
    expect_frame(server, old, Look(seed=1), info(1))
    ring = room.ring_name(Channel.FRAMES)
    new = room.connected(room.client())
    for seq in range(2, 6):
        expect_frame(server, new, Look(seed=seq), info(seq))
        expect("the older sender sends", False, send(old, Look(), info(50)))
    if server.latest_frame(0.02) is not None:
        raise CheckFailedError("no frame of the older sender", "one")
    expect_gone("the ring of the older sender", ring)


def back_at_once(room: Room) -> None:
    """An older sender has the frames again with its next one when the newer one leaves."""
    server, old, new = _two(room)
    expect("the older sender sends", False, send(old, Look(), info(3)))
    new.do("close")
    expect_frame(server, old, Look(seed=4), info(4))


def back_after_silence(room: Room) -> None:
    """An older sender takes the frames back from one that is silent; then that one rests."""
    server, old, new = _two(room)
    expect("the older sender sends", False, send(old, Look(), info(3)))
    room.until("the frames back from a silent sender", lambda: send(old, Look(), info(4)))
    frame = server.latest_frame(READ_MS / 1000)
    expect("the frame of the older sender", info(4), frame.info if frame else None)
    expect("the newer sender sends", False, send(new, Look(), info(5)))
    expect_frame(server, old, Look(seed=6), info(6))


def killed(room: Room) -> None:
    """A sender that is killed harms nobody; the next one removes its ring."""
    server, client = room.pair()
    expect_frame(server, client, Look(seed=1), info(1))
    ring = room.ring_name(Channel.FRAMES)
    client.kill()
    other = room.connected(room.client())
    exchange(server, other, 2)
    expect_gone("the ring of the killed sender", ring)


def closing(room: Room) -> None:
    """A client that closes removes its ring and its record, and may open again."""
    server, client = room.pair()
    for run in range(2):
        exchange(server, client, run + 1)
        ring = room.ring_name(Channel.FRAMES)
        client.do("close")
        expect_gone("the client's ring", ring)
        expect("record of frames", bytes(28), room.directory().raw_record(Channel.FRAMES))
        client.do("open", session=room.name)
        room.connected(client)


def input_ends(room: Room) -> None:
    """At the end of its input the program leaves the session and ends with 0."""
    server, client = room.pair()
    exchange(server, client, 1)
    ring = room.ring_name(Channel.FRAMES)
    expect("exit status", 0, client.end())
    expect_gone("the client's ring", ring)


def owned(room: Room) -> None:
    """What the server owns stays when clients leave: directory, mattes, lock files."""
    server, client = room.pair()
    watcher = room.connected(room.client())
    exchange(server, client, 1)
    kept = directory_name(room.name), room.ring_name(Channel.MATTES)
    record = room.directory().raw_record(Channel.MATTES)
    client.do("close")
    client.end()
    expect("directory and ring of mattes", [True, True], [exists(name) for name in kept])
    expect("record of mattes", record, room.directory().raw_record(Channel.MATTES))
    matte = Look(seed=3, fill_format=PixelFormat.RGB8).matte(3)
    server.send_matte(matte)
    expect_matte(watcher, matte)
    exchange(server, room.connected(room.client()), 4)


def nothing_left(room: Room) -> None:
    """After resizes, a restart and the end of both sides nothing is left."""
    client = room.client()
    for run in range(2):
        server = room.server()
        room.connected(client)
        for side in (10, 100, 200):
            expect_frame(server, client, Look(height=side, width=side), info(side + run))
        server.close()
        room.parted(client)
    client.do("close")
    if SHM.is_dir():
        left = sorted(path.name for path in SHM.glob(f"pm_{room.name}*"))
        expect("segments left", [], left)


CHECKS = (
    *checks_of("senders", (newest, back_at_once, back_after_silence, killed)),
    *checks_of("leaving", (closing, input_ends, owned, nothing_left)),
)
