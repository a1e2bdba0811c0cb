"""The exchange of pictures in device memory: how it goes, and how the segment beside it lies.

The pictures stay on the card. A small shared-memory segment holds tickets and a header for
each slot, and the CUDA IPC handle of the memory. As in ring.py there is one writer, picture t
lies in slot t % slot_count, and a reader knows from the tickets whether a picture was
overwritten while it copied; but the copies are the card's, so each side goes in two steps,
with the copy between them:

    writer   begun = begin(...)   copy into begun    ask or wait until it is done   publish(begun)
    reader   found = newest()     copy out of found  ask or wait until it is done   finish(found)

Neither side waits for the other. A picture larger than the slots makes a new generation of
memory; the one before it is freed when no reader has it open any more, as freeing it earlier
is undefined (cuIpcOpenMemHandle).

Segment: a sealed Generation; at byte 192 the ticket of the newest whole picture; at 256 the
word that the writer moves and the one that it sets while it is open; from 320 a lane for each
reader (the generation it has open, the word it moves; a lock file says that it lives); from
1024 the slots: tickets begun and ended, generation, a sealed SlotHeader, a sealed PixelLayout.

Device memory of a generation: slot_count times slot_bytes, one allocation. A slot holds the
planes of a picture, without gaps between rows, each on a PLANE_ALIGNMENT: the pixels (of a
matte: the alpha) and the fill. A picture of three channels has a fourth byte, 255, as no card
has textures of three.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from promptmatte_shm.cuda_driver import HANDLE_BYTES, SHARED_BLOCK_BYTES
from promptmatte_shm.directory import Channel
from promptmatte_shm.errors import LayoutError
from promptmatte_shm.frame import PixelFormat
from promptmatte_shm.segment import Segment, aligned, sealed, unsealed
from promptmatte_shm.slot import HEADER_BYTES, SlotHeader

CUDA_LAYOUT_VERSION = 1
SILENCE_S = 2.0
"""A side that has not moved for this long shows no life; the memory of a silent writer is
let go of and opened again when it moves."""

SEGMENT_BYTES = 4096
NEWEST_WORD = 192 // 8
BEATS_WORD = 256 // 8
OPEN_WORD = BEATS_WORD + 1
LANE_COUNT = 8
MIN_CUDA_SLOTS, MAX_CUDA_SLOTS = 3, 8
DEFAULT_CUDA_SLOTS = 4
PLANE_ALIGNMENT = 512

_LANES_AT, _LANE_STRIDE = 320, 64
_SLOTS_AT, _SLOT_STRIDE = 1024, 256
_HEADER_AT = 64
_LAYOUT_AT = _HEADER_AT + aligned(HEADER_BYTES)
_LEAST_SLOT_BYTES = 64 * 1024
_MOST_SLOT_BYTES = 2**40

_MAGIC = b"PMCUDA\r\n"
_GENERATION = struct.Struct(f"<8sIIQQ16s{HANDLE_BYTES}s")
_LAYOUT = struct.Struct("<II")


class ChannelOrder(Enum):
    """Of planes of four bytes a pixel; all others lie in RGBA order."""

    RGBA = 0
    BGRA = 1


class RowOrder(Enum):
    """Which row comes first."""

    TOP_DOWN = 0
    BOTTOM_UP = 1


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """How the planes of a picture lie."""

    channels: ChannelOrder
    rows: RowOrder

    def pack(self) -> bytes:
        """As sealed bytes."""
        return sealed(_LAYOUT.pack(self.channels.value, self.rows.value))

    @classmethod
    def unpack(cls, raw: bytes) -> PixelLayout:
        """The layout in these bytes; LayoutError if they are damaged or mean none."""
        fields = unsealed(raw)
        if fields is None:
            raise LayoutError("expected a pixel layout with its checksum; got damaged bytes")
        channels, rows = _LAYOUT.unpack(fields)
        try:
            return cls(channels=ChannelOrder(channels), rows=RowOrder(rows))
        except ValueError as error:
            raise LayoutError(f"expected a pixel layout; got {channels}, {rows}") from error


TOUCHDESIGNER = PixelLayout(channels=ChannelOrder.BGRA, rows=RowOrder.BOTTOM_UP)
"""What TOP.cudaMemory gives and scriptTOP.copyCUDAMemory takes: four bytes are BGRA, all
other pixels RGBA (CUDAMemoryShape Class); rows as in numpyArray."""


class Plane(NamedTuple):
    """An image [height, width, channels] in device memory, without gaps."""

    pointer: int
    height: int
    width: int
    channels: int
    dtype: np.dtype[np.generic]

    @property
    def shape(self) -> tuple[int, int, int]:
        """As of an array."""
        return self.height, self.width, self.channels

    @property
    def byte_size(self) -> int:
        """Bytes of the whole plane."""
        return self.height * self.width * self.channels * self.dtype.itemsize

    @property
    def is_four_bytes(self) -> bool:
        """Whether a PixelLayout's channel order is about this plane."""
        return self.channels == 4 and self.dtype == np.uint8


def planes_of(header: SlotHeader, pointer: int) -> tuple[Plane, Plane | None]:
    """The planes of a picture in the slot that begins here: pixels, and fill if it has one."""
    pixels = _plane(header, header.format, pointer)
    if header.fill_format is None:
        return pixels, None
    fill_at = -(-pixels.byte_size // PLANE_ALIGNMENT) * PLANE_ALIGNMENT
    return pixels, _plane(header, header.fill_format, pointer + fill_at)


def stored_bytes(header: SlotHeader) -> int:
    """Bytes of a slot that the picture takes."""
    pixels, fill = planes_of(header, 0)
    return fill.pointer + fill.byte_size if fill else pixels.byte_size


def _plane(header: SlotHeader, kind: PixelFormat, pointer: int) -> Plane:
    channels = 4 if kind.channels == 3 else kind.channels
    return Plane(pointer, header.height, header.width, channels, kind.dtype)


def roomy_slot_bytes(byte_size: int) -> int:
    """The slot for pictures of this size: a power of two, so that a picture that grows step
    by step makes few generations."""
    return max(_LEAST_SLOT_BYTES, 1 << (byte_size - 1).bit_length())


def memory_bytes(slot_count: int, slot_bytes: int) -> int:
    """The allocation for these slots: whole blocks, so that its export shares nothing else."""
    return -(-slot_count * slot_bytes // SHARED_BLOCK_BYTES) * SHARED_BLOCK_BYTES


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One allocation of device memory with all its slots, and how to open it."""

    number: int
    slot_count: int
    slot_bytes: int
    uuid: bytes
    handle: bytes

    def pack(self) -> bytes:
        """As sealed bytes."""
        return sealed(
            _GENERATION.pack(
                _MAGIC,
                CUDA_LAYOUT_VERSION,
                self.slot_count,
                self.slot_bytes,
                self.number,
                self.uuid,
                self.handle,
            )
        )

    @classmethod
    def unpack(cls, raw: bytes) -> Generation | None:
        """The generation in these bytes; None if they are empty, damaged or half-written,
        LayoutError if another version of PromptMatte wrote them."""
        fields = unsealed(raw)
        if fields is None:
            return None
        magic, version, slot_count, slot_bytes, number, card, handle = _GENERATION.unpack(fields)
        if (magic, version) != (_MAGIC, CUDA_LAYOUT_VERSION):
            raise LayoutError(
                f"expected CUDA layout {CUDA_LAYOUT_VERSION}; got {version}: use the same "
                "PromptMatte version on both sides"
            )
        fits = _LEAST_SLOT_BYTES <= slot_bytes <= _MOST_SLOT_BYTES and number > 0
        if not (fits and MIN_CUDA_SLOTS <= slot_count <= MAX_CUDA_SLOTS):
            return None
        return cls(
            number=number, slot_count=slot_count, slot_bytes=slot_bytes, uuid=card, handle=handle
        )


GENERATION_BYTES = _GENERATION.size + 4


def segment_name(session: str, channel: Channel) -> str:
    """Name of the segment of one direction."""
    return f"pm_{session}.c{channel.letter}"


def reader_role(channel: Channel, lane: int) -> str:
    """Name of the lock that a living reader holds on its lane."""
    return f"cuda-{channel.letter}-reader{lane}"


def writer_role(channel: Channel) -> str:
    """Name of the lock that the living writer holds."""
    return f"cuda-{channel.letter}-writer"


def lane_word(lane: int) -> int:
    """Index of the word with the generation that a reader has open; its moving word follows."""
    return (_LANES_AT + lane * _LANE_STRIDE) // 8


class Begun(NamedTuple):
    """A slot that is being written: where its planes go."""

    ticket: int
    generation: int
    pixels: Plane
    fill: Plane | None


class Found(NamedTuple):
    """A picture that a reader is to copy, and to trust only when finish says so."""

    ticket: int
    generation: int
    header: SlotHeader
    layout: PixelLayout
    pixels: Plane
    fill: Plane | None


def move(segment: Segment, word: int) -> None:
    """Counts the word up, to show life."""
    segment.words[word] = (segment.words[word] + 1) & 0xFFFF_FFFF_FFFF_FFFF


class SlotEntry:
    """What the segment says of one slot."""

    def __init__(self, segment: Segment, index: int) -> None:
        self._segment = segment
        self._at = _SLOTS_AT + index * _SLOT_STRIDE
        self._word = self._at // 8

    @property
    def begun(self) -> int:
        """Ticket of the picture that was begun last."""
        return self._segment.words[self._word]

    @begun.setter
    def begun(self, ticket: int) -> None:
        self._segment.words[self._word] = ticket

    @property
    def ended(self) -> int:
        """Ticket of the picture that is whole."""
        return self._segment.words[self._word + 1]

    @ended.setter
    def ended(self, ticket: int) -> None:
        self._segment.words[self._word + 1] = ticket

    @property
    def generation(self) -> int:
        """Which generation's memory holds the picture."""
        return self._segment.words[self._word + 2]

    @generation.setter
    def generation(self, number: int) -> None:
        self._segment.words[self._word + 2] = number

    def describe(self, header: bytes, layout: PixelLayout) -> None:
        """Stores a packed header and the layout."""
        self._segment.write(self._at + _HEADER_AT, header)
        self._segment.write(self._at + _LAYOUT_AT, layout.pack())

    def description(self, slot_bytes: int) -> tuple[SlotHeader, PixelLayout]:
        """The header and the layout; LayoutError if they are damaged or ask for more bytes."""
        header = SlotHeader.unpack(
            self._segment.read(self._at + _HEADER_AT, HEADER_BYTES), slot_bytes
        )
        layout = PixelLayout.unpack(self._segment.read(self._at + _LAYOUT_AT, _LAYOUT.size + 4))
        if stored_bytes(header) > slot_bytes:
            raise LayoutError(
                f"expected a picture of at most {slot_bytes} bytes; got {stored_bytes(header)}"
            )
        return header, layout
