"""Checks that a picture which is being overwritten is never shown."""

from __future__ import annotations

import numpy as np
from promptmatte_shm.directory import Channel

from promptmatte.conformance.check import CheckFailedError, checks_of, expect
from promptmatte.conformance.pattern import crc_of
from promptmatte.conformance.pictures import Look, expect_matte, expect_no_matte, read
from promptmatte.conformance.raw_memory import RawRing
from promptmatte.conformance.room import Room
from promptmatte.conformance.server_process import FLOOD_HW, FLOOD_VALUES

READS = 60


def unmatched(room: Room) -> None:
    """A slot whose two tickets are not both the newest one's is not shown."""
    server, client = room.pair()
    server.send_matte(Look().matte(1))
    ring = RawRing(room.name, Channel.MATTES)
    for step in range(2):
        for begun, ended in ((ring.slot_count, 0), (0, -1), (ring.slot_count, ring.slot_count)):
            server.send_matte(Look(seed=step).matte(1))
            ticket = ring.newest
            ring.tickets = ticket + begun, ticket + ended
            expect_no_matte(client, f"from tickets off by {begun} and {ended}")
            matte = Look(seed=step).matte(2)
            server.send_matte(matte)
            expect_matte(client, matte)


def newest_word(room: Room) -> None:
    """A newest word that points to no whole picture shows nothing; the next matte comes."""
    server, client = room.pair()
    server.send_matte(Look().matte(1))
    ring = RawRing(room.name, Channel.MATTES)
    for seq, ticket in enumerate((2**64 - 1, 2**63, 10**9, 0), start=2):
        ring.newest = ticket
        expect_no_matte(client, f"of the ticket {ticket}")
        matte = Look(seed=seq).matte(seq)
        server.send_matte(matte)
        expect_matte(client, matte)


def flood(room: Room) -> None:
    """No torn matte or fill is read from a writer that overtakes its readers."""
    room.server_process("flood")
    client = room.client()
    alphas = [crc_of(np.full((*FLOOD_HW, 4), value, np.uint8)) for value in range(FLOOD_VALUES)]
    fills = [crc_of(np.full((*FLOOD_HW, 3), value, np.uint8)) for value in range(FLOOD_VALUES)]
    count = 0
    while count < READS:
        got = read(client)
        if got is None:
            if not room.deadline.left_s:
                raise CheckFailedError(f"{READS} whole mattes", f"{count}")
            continue
        seq = got.get("seq", -1) % FLOOD_VALUES
        wanted = (alphas[seq], fills[seq] if seq % 2 else 0)
        expect(f"crc32 of alpha and fill, all of value {seq}", wanted,
               (got.get("alpha_crc"), got.get("fill_crc")))  # fmt: skip
        count += 1


CHECKS = checks_of("tickets", (unmatched, newest_word, flood))
