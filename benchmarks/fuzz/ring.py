"""Hostile bytes in shared memory: a ring's header, tickets and slots, a directory's records and
letters, the records of the CUDA ring.

An input is a byte of switches and the bytes that lie in the segment. With the first switch on,
the checksums are made right, as those of somebody who means harm would be.
"""

from __future__ import annotations

import atexit
import os
import struct
from collections.abc import Sequence
from functools import cache
from random import Random

import numpy as np
from promptmatte_shm.channel import ChannelReader
from promptmatte_shm.cuda_ring import (
    GENERATION_BYTES,
    SEGMENT_BYTES,
    Generation,
    PixelLayout,
    SlotEntry,
)
from promptmatte_shm.directory import (
    DIRECTORY_BYTES,
    LANE_AREA_BYTES,
    LANE_HEADER_BYTES,
    LANES_AT,
    Channel,
    ChannelRecord,
    Directory,
    directory_name,
    ring_name,
)
from promptmatte_shm.frame import Frame, FrameInfo, Matte
from promptmatte_shm.mailbox import MailboxServer
from promptmatte_shm.ring import ReadCounts, RingReader
from promptmatte_shm.segment import Segment, sealed, unlink
from promptmatte_shm.slot import HEADER_BYTES, SlotHeader

from .target import Target

SESSION = f"fz{os.getpid() % 10**9}"
GENERATION = 7
SLOT_BYTES = 256
RING_BYTES = 128 + 2 * (64 + 192 + SLOT_BYTES)
RING, DIRECTORY, CUDA = range(3)
RING_SEALS = ((0, 32), (192, HEADER_BYTES - 4), (192 + 512, HEADER_BYTES - 4))
"""Where sealed records begin, and how long each is without its checksum."""


@cache
def _segment(kind: int) -> Segment:
    name, size = (
        (ring_name(SESSION, Channel.MATTES, GENERATION), RING_BYTES),
        (directory_name(SESSION), DIRECTORY_BYTES),
        (f"pm_{SESSION}.cm", SEGMENT_BYTES),
    )[kind]
    atexit.register(unlink, name)
    return Segment.create(name, size)


def run(data: bytes) -> None:
    """Reads what lies there, as a client and as a server do."""
    switches, body = (data[0], data[1:]) if data else (0, b"")
    (_read_ring, _read_directory, _read_cuda)[switches // 2 % 3](body, bool(switches % 2))


def _read_ring(body: bytes, seal: bool) -> None:
    segment = _segment(RING)
    segment.write(0, body[:RING_BYTES].ljust(RING_BYTES, b"\0"))
    if seal:
        _seal(segment, RING_SEALS)
    reader = RingReader(segment.name, generation=GENERATION, counts=ReadCounts())
    picture = reader.latest()
    if picture is not None:
        picture.header.matte(picture.pixels, picture.fill)


def _read_directory(body: bytes, seal: bool) -> None:
    segment = _segment(DIRECTORY)
    segment.write(0, body[: LANES_AT + LANE_HEADER_BYTES].ljust(LANES_AT + 64, b"\0"))
    segment.write(LANES_AT + LANE_HEADER_BYTES, body[LANES_AT + LANE_HEADER_BYTES :])
    if seal:
        _seal(segment, ((0, 32), (192, 24), (320, 24)))
    directory = Directory(SESSION, segment)
    server = MailboxServer(directory)
    segment.words[LANES_AT // 8] ^= 1  # a letter that was not there when the server came
    server.poll(dict)
    for channel in Channel:
        ChannelReader(directory, channel, ReadCounts(), skip_old=False).latest()
    Directory.attach(SESSION).epoch()


def _read_cuda(body: bytes, seal: bool) -> None:
    segment = _segment(CUDA)
    segment.write(0, body[:SEGMENT_BYTES].ljust(SEGMENT_BYTES, b"\0"))
    if seal:
        _seal(segment, ((0, GENERATION_BYTES - 4), (1088, HEADER_BYTES - 4), (1280, 8)))
    generation = Generation.unpack(segment.read(0, GENERATION_BYTES))
    SlotEntry(segment, 0).description(generation.slot_bytes if generation else 2**40)


def _seal(segment: Segment, places: Sequence[tuple[int, int]]) -> None:
    for offset, size in places:
        segment.write(offset, sealed(segment.read(offset, size)))


def seeds() -> Sequence[bytes]:
    """A whole ring, a directory with a letter, a CUDA segment."""
    return [_ring_seed(), _directory_seed(), _cuda_seed()]


def _ring_seed() -> bytes:
    info = FrameInfo(stream_id=1, seq=2, pts_ns=3, captured_ns=4)
    alpha, fill = np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 3), np.uint8)
    matte = Matte(
        info=info, alpha=alpha, anchor_seq=1, age_ms=1.0, confidence=(0.5,), prompts_version=1,
        fill=fill,
    )  # fmt: skip
    ring = bytearray(RING_BYTES)
    ring[:36] = sealed(struct.pack("<8sIIQQ", b"PMRING\r\n", 2, 2, SLOT_BYTES, GENERATION))
    ring[64:72] = ring[128:136] = ring[136:144] = (2).to_bytes(8, "little")
    ring[192 : 192 + HEADER_BYTES] = SlotHeader.of_matte(matte).pack()
    return bytes([1]) + bytes(ring)


def _directory_seed() -> bytes:
    raw = bytearray(LANES_AT + LANE_HEADER_BYTES + 32)
    raw[:36] = sealed(struct.pack("<8sIIIIQ", b"PMDIR\r\n\0", 2, 8, LANE_AREA_BYTES, 5, 9))
    raw[72:80] = (1).to_bytes(8, "little")
    record = ChannelRecord(generation=GENERATION, slot_count=2, slot_bytes=SLOT_BYTES, owner=3)
    raw[192:220] = raw[320:348] = record.pack()
    letter = b'{"command":"ping"}'
    raw[LANES_AT : LANES_AT + 24] = struct.pack("<QQQ", 1, len(letter), 0)
    raw[LANES_AT + 64 : LANES_AT + 64 + len(letter)] = letter
    return bytes([3]) + bytes(raw)


def _cuda_seed() -> bytes:
    raw = bytearray(SEGMENT_BYTES)
    generation = Generation(
        number=1, slot_count=4, slot_bytes=65536, uuid=bytes(16), handle=bytes(64)
    ).pack()
    raw[: len(generation)] = generation
    info = FrameInfo(stream_id=1, seq=2, pts_ns=3, captured_ns=4)
    frame = Frame(info=info, pixels=np.zeros((4, 4, 3), np.uint8))
    raw[1088 : 1088 + HEADER_BYTES] = SlotHeader.of_frame(frame).pack()
    raw[1280:1292] = PixelLayout.unpack(sealed(bytes(8))).pack()
    return bytes([5]) + bytes(raw)


def mutate(data: bytes, chance: Random) -> bytes:
    """The same with one of its words exchanged."""
    words = (0, 1, 2, 3, 65, 255, 2**16, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)
    changed = bytearray(data)
    if len(data) > 16:
        size = chance.choice((4, 8))
        at = 1 + chance.randrange((len(data) - 9) // 4) * 4
        word = chance.choice(words) & (256**size - 1)
        changed[at : at + size] = word.to_bytes(size, "little")
    return bytes(changed)


TARGET = Target(run=run, seeds=seeds, mutate=mutate, most_bytes=1 + SEGMENT_BYTES)
