"""A ring of picture slots with one writer and any number of readers, newest first.

Layout: a sealed header, at byte 64 the ticket of the newest whole picture, from byte
128 the slots. A slot is two tickets (the one begun, the one ended), a sealed
SlotHeader, the pixels and the fill if there is one, all on 64-byte lines. Picture t lies
in slot t % slot_count. The writer never waits; a reader knows from the two tickets whether
the picture was overwritten while it copied.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from promptmatte_shm.errors import LayoutError
from promptmatte_shm.segment import Segment, aligned, fence, sealed, unlink, unsealed
from promptmatte_shm.slot import HEADER_BYTES, SlotHeader

LAYOUT_VERSION = 2
"""Of everything in shared memory: directory, rings and slots."""

MIN_SLOTS, MAX_SLOTS = 2, 64
_MAGIC = b"PMRING\r\n"
_HEADER = struct.Struct("<8sIIQQ")
_NEWEST_WORD = 64 // 8
_SLOTS_AT = 128
_SLOT_HEADER_AT = 64
_PIXELS_AT = _SLOT_HEADER_AT + aligned(HEADER_BYTES)
_ATTEMPTS = 4
_MOST_MISSED = 1_000_000
"""Pictures that one gap in the tickets counts for, as damaged tickets know no bounds."""


@dataclass(kw_only=True)
class ReadCounts:
    """Pictures received; torn, missed and rejected ones (see LinkStatus)."""

    received: int = 0
    torn: int = 0
    missed: int = 0
    rejected: int = 0


class Picture(NamedTuple):
    """What a reader copied out of a slot."""

    header: SlotHeader
    pixels: npt.NDArray[Any]
    fill: npt.NDArray[Any] | None


def checked_slot_count(slot_count: int) -> int:
    """The number of slots; LayoutError if no ring can have so many."""
    if not MIN_SLOTS <= slot_count <= MAX_SLOTS:
        raise LayoutError(f"expected {MIN_SLOTS} to {MAX_SLOTS} slots; got {slot_count}")
    return slot_count


def _slot_stride(slot_bytes: int) -> int:
    return _PIXELS_AT + aligned(slot_bytes)


class RingWriter:
    """The one writer of a ring; makes the segment and removes it at close."""

    def __init__(self, name: str, *, generation: int, slot_count: int, slot_bytes: int) -> None:
        """LayoutError if the name is taken, ShmError if there is no room."""
        self.slot_bytes = slot_bytes
        self._slot_count = slot_count
        self._stride = _slot_stride(slot_bytes)
        self._segment = Segment.create(name, _SLOTS_AT + slot_count * self._stride)
        self._header = sealed(
            _HEADER.pack(_MAGIC, LAYOUT_VERSION, slot_count, slot_bytes, generation)
        )
        self._ticket = 0
        self._segment.write(0, self._header)

    def write(
        self,
        header: SlotHeader,
        pixels: npt.NDArray[np.generic],
        fill: npt.NDArray[np.generic] | None = None,
    ) -> None:
        """Publishes a picture: one copy into the oldest slot. It must fit the slot. The
        caller's lock around each call also orders it after the one before."""
        fields = header.pack()
        self._ticket += 1
        ticket = self._ticket
        segment = self._segment
        offset = _SLOTS_AT + ticket % self._slot_count * self._stride
        begun = offset // 8
        segment.words[begun] = ticket
        fence()
        segment.write(offset + _SLOT_HEADER_AT, fields)
        np.copyto(header.pixels_in(segment.view, offset + _PIXELS_AT), pixels)
        fill_place = header.fill_in(segment.view, offset + _PIXELS_AT)
        if fill_place is not None and fill is not None:
            np.copyto(fill_place, fill)
        fence()
        segment.words[begun + 1] = ticket
        fence()
        segment.words[_NEWEST_WORD] = ticket
        segment.write(0, self._header)  # heals a header that somebody damaged

    def close(self) -> None:
        """Removes the segment's name; readers that have it mapped keep their mapping."""
        unlink(self._segment.name)


class RingReader:
    """One of any number of readers; only maps the segment and never removes it."""

    def __init__(self, name: str, *, generation: int, counts: ReadCounts) -> None:
        """SessionNotFoundError if there is no such ring yet, LayoutError if it is damaged."""
        self.generation = generation
        self._counts = counts
        self._segment = Segment.attach(name, _SLOTS_AT)
        fields = unsealed(self._segment.read(0, _HEADER.size + 4))
        if fields is None:
            raise LayoutError(f"expected a ring header in {name!r}; got damaged bytes")
        magic, version, slot_count, slot_bytes, made = _HEADER.unpack(fields)
        if (magic, version, made) != (_MAGIC, LAYOUT_VERSION, generation):
            raise LayoutError(
                f"expected ring layout {LAYOUT_VERSION}, generation {generation} in {name!r}; "
                f"got layout {version}, generation {made}: use the same PromptMatte on both sides"
            )
        size = _SLOTS_AT + slot_count * _slot_stride(slot_bytes)
        if size > self._segment.size:
            raise LayoutError(
                f"expected a ring within the {self._segment.size} bytes of {name!r}; "
                f"got {slot_count} slots of {slot_bytes} bytes"
            )
        self._slot_count = checked_slot_count(slot_count)
        self._slot_bytes = slot_bytes
        self._seen = 0

    def skip(self) -> None:
        """Takes everything published so far as seen."""
        self._seen = self._segment.words[_NEWEST_WORD]

    def latest(
        self,
        out: npt.NDArray[Any] | None = None,
        *,
        with_fill: bool = True,
        fill_out: npt.NDArray[Any] | None = None,
    ) -> Picture | None:
        """The newest unseen picture, copied once; None when there is none.

        The pixels go into `out` and the fill into `fill_out` where shape and dtype fit,
        else into new arrays; without with_fill the fill is not copied. Torn and rejected
        pictures are counted and never returned.
        """
        words, counts = self._segment.words, self._counts
        for _ in range(_ATTEMPTS):
            ticket = words[_NEWEST_WORD]
            if ticket == self._seen:
                return None
            offset = _SLOTS_AT + ticket % self._slot_count * _slot_stride(self._slot_bytes)
            fence()
            whole = words[offset // 8] == ticket == words[offset // 8 + 1]
            picture = self._copy(offset, out, with_fill, fill_out) if whole else None
            fence()
            if words[offset // 8] != ticket:
                if whole:
                    counts.torn += 1
                fence()
                if words[_NEWEST_WORD] != ticket:
                    continue
                picture = None  # nobody overwrote it: the tickets are damaged
            if picture is None:
                counts.rejected += 1
            else:
                counts.received += 1
                missed = ticket - self._seen - 1 if self._seen else 0
                counts.missed += min(max(0, missed), _MOST_MISSED)
            self._seen = ticket
            return picture
        return None

    def _copy(
        self,
        offset: int,
        out: npt.NDArray[Any] | None,
        with_fill: bool,
        fill_out: npt.NDArray[Any] | None,
    ) -> Picture | None:
        record = self._segment.read(offset + _SLOT_HEADER_AT, HEADER_BYTES)
        try:
            header = SlotHeader.unpack(record, self._slot_bytes)
        except LayoutError:
            return None
        view, pixels_at = self._segment.view, offset + _PIXELS_AT
        fill = header.fill_in(view, pixels_at) if with_fill else None
        return Picture(
            header=header,
            pixels=_copied(header.pixels_in(view, pixels_at), out),
            fill=None if fill is None else _copied(fill, fill_out),
        )


def _copied(source: npt.NDArray[Any], out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    if out is None or out.shape != source.shape or out.dtype != source.dtype:
        copy = np.empty(source.shape, source.dtype)
    else:
        copy = out.view()  # Frame makes what it is given read-only, not the caller's array
    np.copyto(copy, source)
    return copy
