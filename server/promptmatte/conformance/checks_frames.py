"""Checks of the frames that a client sends: formats, identity, rows, rings."""

from __future__ import annotations

from promptmatte_shm import PixelFormat
from promptmatte_shm.directory import Channel

from promptmatte.conformance.check import checks_of, expect
from promptmatte.conformance.pictures import (
    LARGEST,
    SIZES_HW,
    SMALLEST,
    VARYING_HW,
    Look,
    expect_frame,
    info,
)
from promptmatte.conformance.raw_memory import RawRing
from promptmatte.conformance.room import SHM, Room, expect_gone


def formats(room: Room) -> None:
    """Frames of every pixel format and odd size arrive byte for byte."""
    server, client = room.pair()
    for seq, kind in enumerate(PixelFormat):
        for height, width in SIZES_HW:
            look = Look(height=height, width=width, format=kind, seed=seq + width)
            expect_frame(server, client, look, info(seq))


def identity(room: Room) -> None:
    """A frame keeps its four identity numbers: 63 bits, negative, zero."""
    server, client = room.pair()
    for seq, number in enumerate((LARGEST, SMALLEST, -1, 0, 2**53 + 1)):
        identity = info(number, stream_id=LARGEST - seq, pts_ns=-number - 1, captured_ns=number)
        expect_frame(server, client, Look(), identity)


def rows(room: Room) -> None:
    """The first row of a frame in memory is the top one, red comes first."""
    server, client = room.pair()
    expect_frame(server, client, Look(height=5, width=7, format=PixelFormat.RGBA8), info(1))


def resize(room: Room) -> None:
    """A frame larger than the slots gets a ring of a new generation; the old one goes."""
    server, client = room.pair()
    held = b""
    for seq, (height, width) in enumerate(VARYING_HW):
        slot_bytes = RawRing(room.name, Channel.FRAMES).slot_bytes if held else 0
        before = room.ring_name(Channel.FRAMES) if held else ""
        expect_frame(server, client, Look(height=height, width=width, seed=seq), info(seq))
        record = room.directory().raw_record(Channel.FRAMES)
        if held and height * width > slot_bytes:
            expect(f"a new record for {width}x{height}", True, record != held)
            expect_gone("the ring before", before)
        held = record
        if SHM.is_dir():
            count = len(list(SHM.glob(f"pm_{room.name}.f*")))
            expect("number of rings of frames", 1, count)


def tickets(room: Room) -> None:
    """The client's ring is as its record and its header say, and its tickets count up."""
    server, client = room.pair()
    for count in range(1, 10):
        expect_frame(server, client, Look(seed=count), info(count))
        ring, record = RawRing(room.name, Channel.FRAMES), room.directory().record(Channel.FRAMES)
        expect("ticket of the newest frame", count, ring.newest)
        expect("tickets of its slot", (count, count), ring.tickets)
        if record is not None:
            wanted = (record.generation, record.slot_count, record.slot_bytes)
            expect("ring header", wanted, (ring.generation, ring.slot_count, ring.slot_bytes))
            expect("an owner that is not 0", True, record.owner != 0)


def sent_word(room: Room) -> None:
    """Each frame moves the channel's sent word."""
    server, client = room.pair()
    directory = room.directory()
    for count in range(1, 4):
        before = directory.sent(Channel.FRAMES)
        expect_frame(server, client, Look(), info(count))
        expect("a sent word that moved", True, directory.sent(Channel.FRAMES) != before)


def refused(room: Room) -> None:
    """A picture without pixels or of no known format is refused; the next one is sent."""
    server, client = room.pair()
    fields = {"height": 4, "width": 4, "format": 1, "seed": 1}
    identity = {"stream_id": 1, "seq": 1, "pts_ns": 1, "captured_ns": 1}
    for name, value in (("height", 0), ("width", 0), ("format", 0), ("format", 6)):
        answer = client.ask("send", **{**fields, name: value}, **identity)
        expect(f"error of a frame of {name} {value}", "bad_input", answer.get("error"))
    expect_frame(server, client, Look(), info(1))


CHECKS = checks_of("frames", (formats, identity, rows, resize, tickets, sent_word, refused))
