"""A direction of pictures that outlives its rings: resize, restart, change of sender."""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from promptmatte_shm.directory import Channel, ChannelRecord, Directory, ring_name
from promptmatte_shm.errors import LayoutError, SessionNotFoundError, ShmError
from promptmatte_shm.pulse import Pulse
from promptmatte_shm.ring import Picture, ReadCounts, RingReader, RingWriter
from promptmatte_shm.segment import aligned
from promptmatte_shm.slot import SlotHeader

logger = logging.getLogger(__name__)

SILENCE_S = 2.0
"""A sender that lost its channel takes it back when the other one is silent this long."""


class ChannelWriter:
    """Sends pictures into a channel; a picture larger than the slots makes a new ring.

    The newest writer holds the channel. Every ring gets a random generation and is
    recorded before it is made, so none is ever left over unnamed, and removing one's
    own ring cannot hit another's.
    """

    def __init__(self, directory: Directory, channel: Channel, slot_count: int) -> None:
        self._directory = directory
        self._channel = channel
        self._slot_count = slot_count
        self._owner = secrets.randbits(63) | 1
        self._record = b""
        self._ring: RingWriter | None = None
        self._rival: Pulse | None = None
        self._lock = threading.Lock()
        self._closed = False

    def write(
        self,
        header: SlotHeader,
        pixels: npt.NDArray[np.generic],
        fill: npt.NDArray[np.generic] | None = None,
    ) -> bool:
        """Publishes a picture; False when another writer holds the channel."""
        with self._lock:
            if self._closed or not self._holds():
                return False
            ring = self._ring
            if ring is None or header.byte_size > ring.slot_bytes:
                ring = self._new_ring(header.byte_size)
            ring.write(header, pixels, fill)
            self._directory.count_sent(self._channel)
            return True

    def _holds(self) -> bool:
        """Whether the channel is ours, taking it where that is right."""
        raw = self._directory.raw_record(self._channel)
        if raw == self._record:
            return True
        found = ChannelRecord.unpack(raw)
        if found is None or found.owner == self._owner:
            if self._ring is not None:
                self._directory.write_record(self._channel, self._record)
            return True
        if self._rival is None and self._ring is None:
            return True
        if self._rival is None:
            logger.warning(
                "%s: a newer sender took over the %s; this one rests until that one is silent",
                self._directory.session,
                self._channel.name.lower(),
            )
            self._drop()
            self._rival = Pulse(SILENCE_S)
        self._rival.look(self._directory.sent(self._channel))
        return self._rival.silent

    def _new_ring(self, byte_size: int) -> RingWriter:
        directory, channel = self._directory, self._channel
        self._drop()
        directory.drop_ring(channel)
        record = ChannelRecord(
            generation=secrets.randbits(32),
            slot_count=self._slot_count,
            slot_bytes=aligned(byte_size),
            owner=self._owner,
        )
        directory.write_record(channel, record.pack())
        try:
            ring = RingWriter(
                ring_name(directory.session, channel, record.generation),
                generation=record.generation,
                slot_count=record.slot_count,
                slot_bytes=record.slot_bytes,
            )
        except ShmError:
            directory.clear_record(channel)
            raise
        self._ring, self._record, self._rival = ring, record.pack(), None
        return ring

    def _drop(self) -> None:
        if self._ring is not None:
            self._ring.close()
        self._ring, self._record = None, b""

    def close(self) -> None:
        """Removes its ring and leaves the channel; safe to call twice."""
        with self._lock:
            if self._ring is not None:
                raw = self._directory.raw_record(self._channel)
                if raw == self._record:
                    self._directory.clear_record(self._channel)
            self._drop()
            self._closed = True


class ChannelReader:
    """Reads a channel's newest picture through whichever ring carries it now."""

    def __init__(
        self, directory: Directory, channel: Channel, counts: ReadCounts, *, skip_old: bool
    ) -> None:
        """skip_old: what the present ring holds already counts as seen."""
        self._directory = directory
        self._channel = channel
        self._counts = counts
        self._ring: RingReader | None = None
        self._followed = b""
        self._lock = threading.Lock()
        if skip_old and (ring := self._follow()):
            ring.skip()

    def latest(
        self,
        out: npt.NDArray[Any] | None = None,
        *,
        with_fill: bool = True,
        fill_out: npt.NDArray[Any] | None = None,
    ) -> Picture | None:
        """The newest unseen picture, or None; see RingReader.latest."""
        with self._lock:
            ring = self._follow()
            return ring.latest(out, with_fill=with_fill, fill_out=fill_out) if ring else None

    def _follow(self) -> RingReader | None:
        """The ring of the present generation; the one before it until that one is made."""
        raw = self._directory.raw_record(self._channel)
        if raw == self._followed:
            return self._ring
        record = ChannelRecord.unpack(raw)
        if record is None:
            return self._ring
        name = ring_name(self._directory.session, self._channel, record.generation)
        with suppress(SessionNotFoundError, LayoutError):
            self._ring = RingReader(name, generation=record.generation, counts=self._counts)
            self._followed = raw
        return self._ring
