"""Directory, rings and slots as bytes, for what no honest server does.

The offsets are those of docs/shm-protocol.md; a test compares all three with each other.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

from promptmatte_shm import ShmError
from promptmatte_shm.directory import (
    DIRECTORY_BYTES,
    LANE_AREA_BYTES,
    LANE_COUNT,
    Channel,
    Directory,
    directory_name,
    ring_name,
)
from promptmatte_shm.ring import LAYOUT_VERSION
from promptmatte_shm.segment import Segment, unlink

from promptmatte.conformance.check import CheckFailedError

HEARTBEAT_WORD, OPEN_WORD = 64 // 8, 72 // 8
RING_HEADER = struct.Struct("<8sIIQQ")
DIRECTORY_HEADER = struct.Struct("<8sIIIIQ")
NEWEST_WORD = 64 // 8
SLOTS_AT = 128
SLOT_HEADER_AT = 64
SLOT_HEADER_BYTES = 128
PIXELS_AT = 192
SLOT_FIELDS = {
    "stream_id": (0, "q"),
    "seq": (8, "q"),
    "pts_ns": (16, "q"),
    "captured_ns": (24, "q"),
    "published_ns": (32, "q"),
    "width": (40, "I"),
    "height": (44, "I"),
    "format": (48, "I"),
    "confidence_count": (52, "I"),
    "fill_format": (56, "I"),
    "byte_size": (60, "Q"),
    "anchor_seq": (68, "q"),
    "prompts_version": (76, "q"),
    "age_ms": (84, "d"),
    "confidence": (92, "d"),
}


def with_crc(payload: bytes) -> bytes:
    """The payload and its crc32."""
    return payload + zlib.crc32(payload).to_bytes(4, "little")


@dataclass(kw_only=True)
class RawDirectory:
    """A directory of any version, made by the suite; its heart beats when it is told to."""

    session: str
    version: int = LAYOUT_VERSION
    lane_count: int = LANE_COUNT
    segment: Segment = field(init=False)

    def __post_init__(self) -> None:
        self.segment = Segment.create(directory_name(self.session), DIRECTORY_BYTES)
        header = DIRECTORY_HEADER.pack(
            b"PMDIR\r\n\0", self.version, self.lane_count, LANE_AREA_BYTES, 1, 12345
        )
        self.segment.write(0, with_crc(header))
        self.segment.words[OPEN_WORD] = 1

    def beat(self) -> None:
        """Shows life."""
        self.segment.words[HEARTBEAT_WORD] += 1

    def remove(self) -> None:
        """Removes the name."""
        unlink(directory_name(self.session))


class RawRing:
    """The ring that carries a channel now, as bytes."""

    def __init__(self, session: str, channel: Channel) -> None:
        """ShmError if there is none."""
        record = Directory.attach(session).record(channel)
        generation = record.generation if record else 0
        self.segment = Segment.attach(ring_name(session, channel, generation), SLOTS_AT)
        header = RING_HEADER.unpack(self.segment.read(0, RING_HEADER.size))
        _, self.version, self.slot_count, self.slot_bytes, self.generation = header
        self.stride = PIXELS_AT + -(-self.slot_bytes // 64) * 64

    @property
    def newest(self) -> int:
        """Ticket of the newest whole picture."""
        ticket: int = self.segment.words[NEWEST_WORD]
        return ticket

    @newest.setter
    def newest(self, ticket: int) -> None:
        self.segment.words[NEWEST_WORD] = ticket

    def _slot_at(self) -> int:
        at: int = SLOTS_AT + self.newest % self.slot_count * self.stride
        return at

    @property
    def tickets(self) -> tuple[int, int]:
        """The tickets begun and ended of the newest picture's slot."""
        word = self._slot_at() // 8
        return self.segment.words[word], self.segment.words[word + 1]

    @tickets.setter
    def tickets(self, begun_ended: tuple[int, int]) -> None:
        word = self._slot_at() // 8
        self.segment.words[word], self.segment.words[word + 1] = begun_ended

    @property
    def slot_header(self) -> bytes:
        """The newest picture's header with its checksum."""
        return self.segment.read(self._slot_at() + SLOT_HEADER_AT, SLOT_HEADER_BYTES)

    @slot_header.setter
    def slot_header(self, record: bytes) -> None:
        self.segment.write(self._slot_at() + SLOT_HEADER_AT, record)

    def patch(self, name: str, value: float) -> None:
        """Changes a field of the newest picture's header, under a right checksum."""
        offset, kind = SLOT_FIELDS[name]
        payload = bytearray(self.slot_header[:-4])
        struct.pack_into(f"<{kind}", payload, offset, value)
        self.slot_header = with_crc(bytes(payload))


def newest_ticket(session: str, channel: Channel) -> int:
    """Ticket of the newest picture of a channel, 0 before the first."""
    try:
        return RawRing(session, channel).newest
    except ShmError:
        return 0


def hostile_ring(session: str, generation: int, header: bytes, size: int) -> Segment:
    """A ring segment of mattes with this header, whose newest word promises a picture."""
    segment = Segment.create(ring_name(session, Channel.MATTES, generation), size)
    segment.write(0, header)
    if size >= SLOTS_AT:
        segment.words[NEWEST_WORD] = 5
    return segment


def point_to(directory: Directory, generation: int) -> None:
    """Makes the record of mattes name another ring, as if its own writer had done so."""
    record = directory.record(Channel.MATTES)
    if record is None:
        raise CheckFailedError("a record of mattes", "none")
    other = replace(record, generation=generation)
    directory.write_record(Channel.MATTES, other.pack())
