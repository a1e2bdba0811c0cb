"""Checks of the mattes that a client reads: formats, numbers, rows, fill, sizes."""

from __future__ import annotations

from promptmatte_shm import PixelFormat

from promptmatte.conformance.check import checks_of
from promptmatte.conformance.pictures import (
    LARGEST,
    SIZES_HW,
    SMALLEST,
    VARYING_HW,
    Look,
    expect_matte,
    expect_no_matte,
    info,
)
from promptmatte.conformance.room import Room

FILLS = (None, PixelFormat.RGB8, None, PixelFormat.RGBA8, PixelFormat.RGB8)


def formats(room: Room) -> None:
    """Mattes of every pixel format and odd size are read byte for byte."""
    server, client = room.pair()
    for seq, kind in enumerate(PixelFormat):
        for height, width in SIZES_HW:
            matte = Look(height=height, width=width, format=kind, seed=seq + width).matte(seq)
            server.send_matte(matte)
            expect_matte(client, matte)


def identity(room: Room) -> None:
    """All numbers of a matte come exactly: 63 bits, negative, fractions, 0 to 4 confidences."""
    server, client = room.pair()
    for count, number in enumerate((LARGEST, SMALLEST, -1, 0, 2**53 + 1)):
        matte = Look().matte(
            number,
            info=info(number, stream_id=LARGEST, pts_ns=-number - 1, captured_ns=number),
            anchor_seq=-1 if count else LARGEST,
            prompts_version=LARGEST - count,
            age_ms=0.1 + 0.2 * count,
            confidence=(1 / 3, 0.0, 1.0, 0.1)[:count],
        )
        server.send_matte(matte)
        expect_matte(client, matte)


def rows(room: Room) -> None:
    """The first row of a matte in memory is the top one, also in its fill."""
    server, client = room.pair()
    matte = Look(height=5, width=7, fill_format=PixelFormat.RGB8).matte()
    server.send_matte(matte)
    expect_matte(client, matte)


def fill(room: Room) -> None:
    """A fill of three or four channels comes with its matte, and none where none was sent."""
    server, client = room.pair()
    for seq, fill in enumerate(FILLS * 2):
        height, width = (3, 7) if seq % 2 else (8, 8)
        kind = PixelFormat.RGBA8 if seq % 3 else PixelFormat.GRAY8
        look = Look(height=height, width=width, format=kind, fill_format=fill, seed=seq)
        matte = look.matte(seq)
        server.send_matte(matte)
        expect_matte(client, matte)


def once(room: Room) -> None:
    """The newest matte is read, once; those it replaced are not."""
    server, client = room.pair()
    for seq in range(1, 8):
        mattes = [Look(seed=seq + step).matte(10 * seq + step) for step in range(3)]
        for matte in mattes:
            server.send_matte(matte)
        expect_matte(client, mattes[-1])
        expect_no_matte(client, "after the newest was read")


def resize(room: Room) -> None:
    """Mattes that outgrow their slots are read from the ring of the new generation."""
    server, client = room.pair()
    for seq, (height, width) in enumerate(VARYING_HW):
        matte = Look(height=height, width=width, seed=seq).matte(seq)
        server.send_matte(matte)
        expect_matte(client, matte)
        expect_no_matte(client, "twice", timeout_ms=10)


CHECKS = checks_of("mattes", (formats, identity, rows, fill, once, resize))
