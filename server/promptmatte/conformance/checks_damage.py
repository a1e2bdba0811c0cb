"""Checks that damaged and hostile memory is neither shown nor fatal, and healed where it can be."""

from __future__ import annotations

import math
import sys

import numpy as np
from promptmatte_shm import PixelFormat, ServerSession
from promptmatte_shm.directory import DIRECTORY_BYTES, Channel, directory_name
from promptmatte_shm.ring import LAYOUT_VERSION
from promptmatte_shm.segment import Segment, unlink

from promptmatte.conformance.candidate import Candidate
from promptmatte.conformance.check import CheckFailedError, checks_of, expect
from promptmatte.conformance.mailbox import expect_refusal, text_of
from promptmatte.conformance.pictures import (
    Look,
    exchange,
    expect_frame,
    expect_matte,
    expect_no_matte,
    info,
    read,
    send,
)
from promptmatte.conformance.raw_memory import (
    RING_HEADER,
    RawDirectory,
    RawRing,
    hostile_ring,
    point_to,
    with_crc,
)
from promptmatte.conformance.room import Room, exists

RING_MAGIC = b"PMRING\r\n"
SLOT_VALUES: tuple[tuple[str, float], ...] = (
    ("width", 0), ("width", 2**32 - 1), ("height", 0), ("height", 2**32 - 1), ("format", 0),
    ("format", 99), ("fill_format", 1), ("fill_format", 3), ("fill_format", 4),
    ("fill_format", 99), ("byte_size", 0), ("byte_size", 2**64 - 1), ("byte_size", 2**40),
    ("confidence_count", 5), ("confidence_count", 2**32 - 1), ("age_ms", math.nan),
    ("confidence", math.inf),
)  # fmt: skip
OVERFLOWING_BYTES = 2**58 - 192
"""64 slots of so many bytes, and what goes with each, are 2**64 bytes: 0 in 64 bits."""


def slot_values(room: Room) -> None:
    """A slot header with an impossible value under a right checksum is not shown."""
    server, client = room.pair()
    look = Look(fill_format=PixelFormat.RGB8)
    for seq, (name, value) in enumerate(SLOT_VALUES):
        server.send_matte(look.matte(seq))
        RawRing(room.name, Channel.MATTES).patch(name, value)
        expect_no_matte(client, f"of {name} {value}", timeout_ms=10)
    server.send_matte(look.matte(100))
    expect_matte(client, look.matte(100))


def slot_checksum(room: Room) -> None:
    """A slot header with any bit flipped is not shown."""
    server, client = room.pair()
    for bit in range(0, 128 * 8, 37):
        server.send_matte(Look().matte(bit))
        ring = RawRing(room.name, Channel.MATTES)
        header = bytearray(ring.slot_header)
        header[bit // 8] ^= 1 << bit % 8
        ring.slot_header = bytes(header)
        expect_no_matte(client, f"of a header with bit {bit} flipped", timeout_ms=5)
    server.send_matte(Look().matte(9999))
    expect_matte(client, Look().matte(9999))


def directory(room: Room) -> None:
    """A client lives through garbage in the directory, which the server heals."""
    rng = np.random.default_rng(4)
    server, client = room.pair()
    segment = room.directory().segment
    for seq in range(8):
        segment.write(0, rng.bytes(512 + 2000))
        server.send_matte(Look().matte(seq))
        send(client, Look(), info(seq))
        read(client, 0)
        client.do("status")
        server.latest_frame()

    def healed() -> bool:
        server.send_matte(Look().matte(99))
        matte = read(client, 10)
        return matte is not None and matte.get("seq") == 99

    room.until("mattes again after damage to the directory", healed)
    room.connected(client)
    exchange(server, client, 100)


def matte_record(room: Room) -> None:
    """A damaged record of mattes, or one of a ring that is not there, leaves the ring before."""
    server, client = room.pair()
    directory = room.directory()
    for seq in range(6):
        matte = Look(seed=seq).matte(seq)
        server.send_matte(matte)
        honest = directory.raw_record(Channel.MATTES)
        if seq % 2:
            point_to(directory, 0xDEAD0000 + seq)
        else:
            directory.write_record(Channel.MATTES, bytes([0, 255, seq] * 28)[:28])
        _expect_that_or_none(client, seq)
        directory.write_record(Channel.MATTES, honest)
        matte = Look(seed=seq).matte(100 + seq)
        server.send_matte(matte)
        expect_matte(client, matte)


def _expect_that_or_none(client: Candidate, seq: int) -> None:
    """CheckFailedError if a matte of another seq is read; this one may be."""
    got = read(client, 20)
    if got is not None:
        expect("seq of a matte from the ring before", seq, got.get("seq"))


def frame_record(room: Room) -> None:
    """A client that finds its own record damaged writes it anew with its next frame."""
    server, client = room.pair()
    expect_frame(server, client, Look(), info(1))
    directory = room.directory()
    honest = directory.raw_record(Channel.FRAMES)
    for seq, garbage in enumerate((b"\xff" * 28, bytes(28), honest[:27] + b"\0"), start=2):
        directory.write_record(Channel.FRAMES, garbage)
        expect_frame(server, client, Look(seed=seq), info(seq))
        expect("record of frames", honest, directory.raw_record(Channel.FRAMES))


def frame_ring(room: Room) -> None:
    """A client heals the header of its own ring with its next frame."""
    server, client = room.pair()
    expect_frame(server, client, Look(), info(1))
    segment = RawRing(room.name, Channel.FRAMES).segment
    honest = segment.read(0, 36)
    segment.write(0, b"\xa5" * 36)
    expect_frame(server, client, Look(seed=2), info(2))
    expect("header of the ring", honest, segment.read(0, 36))


def matte_rings(room: Room) -> None:
    """A ring with a hostile header is not followed, read or fatal."""
    server, client = room.pair()
    good = RING_MAGIC, LAYOUT_VERSION, 4, 4096
    hostile = (
        *((RING_MAGIC, LAYOUT_VERSION, slots, 4096) for slots in (0, 1, 65, 2**32 - 1)),
        *((RING_MAGIC, LAYOUT_VERSION, 64, size) for size in (2**64 - 1, OVERFLOWING_BYTES)),
        *((RING_MAGIC, version, 4, 4096) for version in (0, 1, LAYOUT_VERSION + 1)),
        (b"PMDIR\r\n\0", LAYOUT_VERSION, 4, 4096),
    )
    headers = [
        with_crc(RING_HEADER.pack(*fields, 0x100 + number)) for number, fields in enumerate(hostile)
    ]
    generation = 0x100 + len(headers)
    headers.append(with_crc(RING_HEADER.pack(*good, 1)))  # of another generation
    headers.append(RING_HEADER.pack(*good, generation + 1) + b"\1\2\3\4")
    headers.append(b"")
    for seq, header in enumerate(headers):
        _expect_not_followed(room, server, client, seq, header, size=1 << 16)
    size_of_two = 128 + 2 * (192 + 4096)
    short = with_crc(RING_HEADER.pack(*good, 0x100 + len(headers)))
    _expect_not_followed(room, server, client, len(headers), short, size=size_of_two)


def _expect_not_followed(
    room: Room, server: ServerSession, client: Candidate, seq: int, header: bytes, size: int
) -> None:
    matte = Look(seed=seq).matte(seq)
    server.send_matte(matte)
    expect_matte(client, matte)
    segment = hostile_ring(room.name, 0x100 + seq, header, size)
    try:
        point_to(room.directory(), 0x100 + seq)
        expect_no_matte(client, f"of the ring header {header!r}", timeout_ms=5)
    finally:
        unlink(segment.name)


def foreign_segment(room: Room) -> None:
    """A segment of the directory's name that is none is neither used, changed nor removed."""
    name = directory_name(room.name)
    client = room.program()
    for size in (1, 4096, DIRECTORY_BYTES):
        content = np.random.default_rng(size).bytes(min(size, 5000))
        segment = Segment.create(name, size)
        segment.write(0, content)
        client.do("open", session=room.name)
        for _ in range(3):
            expect("connected to a foreign segment", False, client.do("status")["connected"])
            expect("a frame is sent to one", False, send(client, Look(), info(1)))
            expect_no_matte(client, "of a foreign segment", timeout_ms=120)
        expect("the segment is still there", True, exists(name))
        expect("its bytes", content, segment.read(0, len(content)))
        client.do("close")
        unlink(name)
        del segment
    if sys.platform != "win32":  # there it stays while any program has it open
        _, client = room.pair()


def layout_version(room: Room) -> None:
    """A directory of another layout version is refused, with the error layout."""
    client = room.program()
    for fields in ({"version": 1}, {"version": LAYOUT_VERSION + 1}, {"lane_count": 4}):
        raw = RawDirectory(session=room.name, **fields)
        client.do("open", session=room.name)
        try:
            for _ in range(20):
                raw.beat()
                if client.do("status")["connected"]:
                    raise CheckFailedError(f"a directory of {fields} to be refused", "connected")
                expect("a frame is sent", False, send(client, Look(), info(1)))
                expect_no_matte(client, "of another version", timeout_ms=20)
            answer = client.ask("request", command=text_of({}), timeout_ms=100)
            expect_refusal(f"a request to a directory of {fields}", answer, "layout")
            expect("record of frames", bytes(28), raw.segment.read(192, 28))
        finally:
            client.do("close")
            raw.remove()
    if sys.platform != "win32":
        server, client = room.pair()
        exchange(server, client, 1)


CHECKS = checks_of(
    "damage",
    (
        slot_values, slot_checksum, directory, matte_record, frame_record, frame_ring,
        matte_rings, foreign_segment, layout_version,
    ),
)  # fmt: skip
