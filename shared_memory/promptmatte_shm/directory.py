"""The small fixed segment by which the two sides of a session find each other.

Layout: a sealed header, the words heartbeat, open and visitors, a sealed record and a sent
word for each direction, then the lanes of the mailbox. Everything but the single words
carries a checksum, so a half-written or damaged record reads as no record.
"""

from __future__ import annotations

import os
import secrets
import struct
import time
from dataclasses import dataclass
from enum import Enum

from promptmatte_shm.errors import LayoutError, SessionBusyError, SessionNotFoundError
from promptmatte_shm.pulse import Pulse
from promptmatte_shm.ring import LAYOUT_VERSION, MAX_SLOTS, MIN_SLOTS
from promptmatte_shm.segment import Segment, sealed, unlink, unsealed

LANE_COUNT = 8
LANE_AREA_BYTES = 64 * 1024
LANE_HEADER_BYTES = 64
LANES_AT = 512
LANE_STRIDE = LANE_HEADER_BYTES + 2 * LANE_AREA_BYTES
DIRECTORY_BYTES = LANES_AT + LANE_COUNT * LANE_STRIDE

_MAGIC = b"PMDIR\r\n\0"
_HEADER = struct.Struct("<8sIIIIQ")
_RECORD = struct.Struct("<IIQQ")
_HEARTBEAT_WORD = 64 // 8
_OPEN_WORD = _HEARTBEAT_WORD + 1
_VISITORS_WORD = 128 // 8
_CHANNELS_AT = 192
_CHANNEL_STRIDE = 128
_SENT_AT = 64
_WATCH_S = 0.6


class Channel(Enum):
    """A direction of pictures: its place in the directory and its letter in ring names."""

    FRAMES = (0, "f")
    MATTES = (1, "m")

    def __init__(self, index: int, letter: str) -> None:
        self.at = _CHANNELS_AT + index * _CHANNEL_STRIDE
        self.letter = letter


@dataclass(frozen=True, kw_only=True)
class ChannelRecord:
    """Which ring carries a channel now, and whose it is."""

    generation: int
    slot_count: int
    slot_bytes: int
    owner: int

    def pack(self) -> bytes:
        """The record as sealed bytes."""
        return sealed(_RECORD.pack(self.generation, self.slot_count, self.slot_bytes, self.owner))

    @classmethod
    def unpack(cls, raw: bytes) -> ChannelRecord | None:
        """The record in these bytes; None if it is empty, damaged or half-written."""
        fields = unsealed(raw)
        if fields is None:
            return None
        generation, slot_count, slot_bytes, owner = _RECORD.unpack(fields)
        if not MIN_SLOTS <= slot_count <= MAX_SLOTS:
            return None
        return cls(generation=generation, slot_count=slot_count, slot_bytes=slot_bytes, owner=owner)


def directory_name(session: str) -> str:
    """Name of a session's directory segment."""
    return f"pm_{session}"


def ring_name(session: str, channel: Channel, generation: int) -> str:
    """Name of a ring's segment; the dot keeps it apart from every session's directory."""
    return f"pm_{session}.{channel.letter}{generation:08x}"


class Directory:
    """A mapped directory segment, seen from either side."""

    def __init__(self, session: str, segment: Segment) -> None:
        self.session = session
        self.segment = segment
        self._words = segment.words
        self._header = b""

    @classmethod
    def attach(cls, session: str) -> Directory:
        """A client's view; SessionNotFoundError or LayoutError when it cannot be used."""
        directory = cls(session, Segment.attach(directory_name(session), DIRECTORY_BYTES))
        if not directory.epoch() or directory.closed:
            raise SessionNotFoundError(f"session {session!r} has been closed")
        return directory

    @classmethod
    def own(cls, session: str) -> Directory:
        """The server's view: a new directory, or a dead server's with its mattes ring removed.

        SessionBusyError if its heartbeat still moves; LayoutError where a foreign
        segment of this name cannot be replaced (Windows, while a program holds it).
        """
        directory = cls._dead_one(session)
        if directory is None:
            unlink(directory_name(session))
            segment = Segment.create(directory_name(session), DIRECTORY_BYTES)
            directory = cls(session, segment)
        directory.drop_ring(Channel.MATTES)
        directory._header = directory._packed_header(secrets.randbits(63) | 1)
        directory.beat()
        return directory

    @classmethod
    def _dead_one(cls, session: str) -> Directory | None:
        """The usable directory that a dead server left; None if there is none."""
        try:
            segment = Segment.attach(directory_name(session), DIRECTORY_BYTES)
            directory = cls(session, segment)
            epoch = directory.epoch()
        except (SessionNotFoundError, LayoutError):
            return None
        pulse = Pulse(_WATCH_S)
        pulse.look(directory.heartbeat)
        while epoch and not pulse.silent:
            if pulse.look(directory.heartbeat):
                raise SessionBusyError(
                    f"session {session!r} is in use by process {directory.server_pid}: "
                    "stop that server or take another name"
                )
            time.sleep(0.02)
        return directory

    def _packed_header(self, epoch: int) -> bytes:
        return sealed(
            _HEADER.pack(_MAGIC, LAYOUT_VERSION, LANE_COUNT, LANE_AREA_BYTES, os.getpid(), epoch)
        )

    def _fields(self) -> tuple[int, int]:
        """The server's pid and epoch; SessionNotFoundError while there is no header yet,
        LayoutError if it is damaged or foreign."""
        raw = self.segment.read(0, _HEADER.size + 4)
        if not any(raw):
            raise SessionNotFoundError(f"session {self.session!r} is being made")
        payload = unsealed(raw)
        if payload is None:
            raise LayoutError(f"expected a directory in {self.segment.name!r}; got damaged bytes")
        magic, version, lanes, area_bytes, pid, epoch = _HEADER.unpack(payload)
        ours = (_MAGIC, LAYOUT_VERSION, LANE_COUNT, LANE_AREA_BYTES)
        if (magic, version, lanes, area_bytes) != ours:
            raise LayoutError(
                f"expected layout {LAYOUT_VERSION} of session {self.session!r}; got {version}: "
                "use the same PromptMatte version on both sides"
            )
        return pid, epoch

    def epoch(self) -> int:
        """Which server run this is, 0 once closed; errors as with `attach`."""
        return self._fields()[1]

    @property
    def closed(self) -> bool:
        """Whether its server closed it."""
        return self._words[_OPEN_WORD] == 0

    @property
    def server_pid(self) -> int:
        """Process id of the server, 0 if there is no header or it is damaged."""
        try:
            return self._fields()[0]
        except (SessionNotFoundError, LayoutError):
            return 0

    @property
    def heartbeat(self) -> int:
        """Moves while the server lives."""
        return self._words[_HEARTBEAT_WORD]

    def beat(self) -> None:
        """Moves the heartbeat and writes the header anew, in case somebody damaged it."""
        self.segment.write(0, self._header)
        self._words[_OPEN_WORD] = 1
        self._move(_HEARTBEAT_WORD)

    @property
    def visitors(self) -> int:
        """Moves while any client calls."""
        return self._words[_VISITORS_WORD]

    def visit(self) -> None:
        """Shows the server that a client lives."""
        self._move(_VISITORS_WORD)

    def sent(self, channel: Channel) -> int:
        """Moves while the channel's writer sends."""
        return self._words[(channel.at + _SENT_AT) // 8]

    def count_sent(self, channel: Channel) -> None:
        """Shows that the channel's writer lives."""
        self._move((channel.at + _SENT_AT) // 8)

    def _move(self, word: int) -> None:
        self._words[word] = (self._words[word] + 1) & 0xFFFF_FFFF_FFFF_FFFF

    def raw_record(self, channel: Channel) -> bytes:
        """The channel's record as it lies there."""
        return self.segment.read(channel.at, _RECORD.size + 4)

    def record(self, channel: Channel) -> ChannelRecord | None:
        """The channel's record; None if nobody sends."""
        return ChannelRecord.unpack(self.raw_record(channel))

    def write_record(self, channel: Channel, packed: bytes) -> None:
        """Stores a packed record."""
        self.segment.write(channel.at, packed)

    def clear_record(self, channel: Channel) -> None:
        """Says that nobody sends."""
        self.segment.write(channel.at, bytes(_RECORD.size + 4))

    def drop_ring(self, channel: Channel) -> None:
        """Removes the ring the record names, and the record."""
        record = self.record(channel)
        if record is not None:
            unlink(ring_name(self.session, channel, record.generation))
        self.clear_record(channel)

    def retire(self) -> None:
        """The server's clean end: marks it closed, removes both rings and the directory."""
        self.segment.write(0, self._packed_header(0))
        self._words[_OPEN_WORD] = 0
        for channel in Channel:
            self.drop_ring(channel)
        unlink(self.segment.name)
