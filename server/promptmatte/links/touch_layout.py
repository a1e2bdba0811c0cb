"""The bytes that TouchDesigner's Shared Mem TOPs share, after its published headers.

A sender NAME owns a data segment (a header, then the pixels, tightly packed) and an info
segment that says under which postfix the data segment now lies. Each has a mutex. All
numbers are little-endian; the structures are those of Windows. Whatever arrives is checked
before it is used. The colour space that header 2 adds is not looked at.
"""

from __future__ import annotations

import re
import secrets
import string
import struct
import zlib
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte_shm.errors import FrameFormatError, LayoutError
from promptmatte_shm.frame import PixelFormat

MAX_SIDE = 16384
"""The largest texture that TouchDesigner makes."""

_MAGIC = 0xD95EF835
_HEADER = struct.Struct("<IIiiffI4xqi")
HEADER_BYTES = {1: 48, 2: 56}
CORE_BYTES = _HEADER.size
"""What the header versions have in common."""

_INFO_MAGIC = 0x56ED34BA
_INFO_VERSION = 2
_INFO = struct.Struct("<II?x64s?x")
INFO_BYTES = _INFO.size
SUPPORTED_AT = 8
DETACHED_AT = 74
POSTFIX_CHARS = 31

SAMPLES = 16384
"""Bytes of a picture that its fingerprint is made of."""

Pixels = npt.NDArray[np.generic]


class RowOrder(Enum):
    """Which row of the picture comes first in memory."""

    TOP_DOWN = "top-down"
    BOTTOM_UP = "bottom-up"


ROW_ORDER = RowOrder.BOTTOM_UP
"""Not seen in a running TouchDesigner. Two programs that hand the segment's pixels to OpenCV
as they lie tell their users to put a Flip TOP with Flip Y before the Shared Mem Out TOP, and
bottom-up is what TouchDesigner's numpyArray and C++ uploads use."""


class TouchFormat(Enum):
    """A pixel format of the header: code, numpy dtype, channels, and blue before red or not."""

    R8 = (9, "uint8", 1, False)
    RGBA8 = (37, "uint8", 4, False)
    RGBA8_SRGB = (43, "uint8", 4, False)
    BGRA8 = (44, "uint8", 4, True)
    BGRA8_SRGB = (50, "uint8", 4, True)
    RGBA16F = (97, "float16", 4, False)
    R32F = (100, "float32", 1, False)
    RGBA32F = (109, "float32", 4, False)
    A8 = (0xF0001, "uint8", 1, False)

    def __init__(self, code: int, dtype: str, channels: int, blue_first: bool) -> None:
        self.code = code
        self.dtype: np.dtype[np.generic] = np.dtype(dtype).newbyteorder("<")
        self.channels = channels
        self.blue_first = blue_first


_BY_CODE = {member.code: member for member in TouchFormat}

_SENT_AS = {
    PixelFormat.GRAY8: TouchFormat.R8,
    PixelFormat.RGB8: TouchFormat.RGBA8,
    PixelFormat.RGBA8: TouchFormat.RGBA8,
    PixelFormat.RGBA16F: TouchFormat.RGBA16F,
    PixelFormat.RGBA32F: TouchFormat.RGBA32F,
}


def data_name(name: str, postfix: str = "") -> str:
    """Name of the segment with the pixels."""
    return f"TouchSHM{name}{postfix}"


def info_name(name: str) -> str:
    """Name of the info segment, which carries the prefix twice."""
    return f"TouchSHMTouchSHM{name}4jhd783h"


def mutex_name(segment_name: str) -> str:
    """Name of a segment's mutex; that of the data segment never has the postfix."""
    return f"{segment_name}Mutex"


def new_postfix() -> str:
    """A postfix that no data segment had before."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(POSTFIX_CHARS))


@dataclass(frozen=True, kw_only=True)
class TouchInfo:
    """The info segment. supported: a receiver has come that re-reads it. detached: the
    sender has gone."""

    supported: bool
    postfix: str
    detached: bool

    @classmethod
    def unpack(cls, raw: bytes) -> TouchInfo:
        """The info in these bytes; LayoutError if they are none."""
        if len(raw) < INFO_BYTES:
            raise LayoutError(f"expected info of {INFO_BYTES} bytes; got {len(raw)}")
        magic, version, supported, postfix, detached = _INFO.unpack_from(raw)
        if magic != _INFO_MAGIC or version not in (1, _INFO_VERSION):
            raise LayoutError(
                f"expected info of magic {_INFO_MAGIC:#x} and version 1 or {_INFO_VERSION}; "
                f"got {magic:#x} and {version}"
            )
        text = postfix.decode("utf-16-le", errors="replace").partition("\0")[0]
        if not re.fullmatch(rf"[A-Za-z0-9]{{0,{POSTFIX_CHARS}}}", text):
            raise LayoutError(f"expected a postfix of letters; got {text!r}")
        return cls(supported=supported, postfix=text, detached=detached and version > 1)

    def pack(self) -> bytes:
        """The info as the bytes of its segment."""
        return _INFO.pack(
            _INFO_MAGIC,
            _INFO_VERSION,
            self.supported,
            self.postfix.encode("utf-16-le"),
            self.detached,
        )


@dataclass(frozen=True, kw_only=True)
class TouchHeader:
    """The head of a data segment: what the pixels after it are, and where they begin."""

    width: int
    height: int
    pixel_format: TouchFormat
    data_offset: int = HEADER_BYTES[1]

    def __str__(self) -> str:
        return f"{self.width} x {self.height} {self.pixel_format.name}"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * self.pixel_format.channels * self.pixel_format.dtype.itemsize

    @property
    def data_size(self) -> int:
        """Bytes of the pixels."""
        return self.height * self.row_bytes

    @property
    def segment_bytes(self) -> int:
        """Bytes a segment needs for header and pixels."""
        return self.data_offset + self.data_size

    @classmethod
    def unpack(cls, raw: bytes, segment_bytes: int) -> TouchHeader:
        """The header in these bytes of a segment of this size; LayoutError if they are none,
        or its pixels would not lie within the segment."""
        if len(raw) < CORE_BYTES:
            raise LayoutError(f"expected a header of {CORE_BYTES} bytes; got {len(raw)}")
        magic, version, width, height, _, _, code, data_size, offset = _HEADER.unpack_from(raw)
        if magic != _MAGIC or version not in HEADER_BYTES:
            raise LayoutError(
                f"expected a picture of magic {_MAGIC:#x} and version 1 or 2; "
                f"got {magic:#x} and {version}"
            )
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise LayoutError(f"expected sides of 1 to {MAX_SIDE}; got {width} x {height}")
        if code not in _BY_CODE:
            known = ", ".join(f"{member.code}={member.name}" for member in TouchFormat)
            raise LayoutError(f"expected a pixel format of {known}; got {code}")
        header = cls(width=width, height=height, pixel_format=_BY_CODE[code], data_offset=offset)
        if data_size != header.data_size:
            raise LayoutError(f"expected {header.data_size} bytes for {header}; got {data_size}")
        if offset < HEADER_BYTES[version] or header.segment_bytes > segment_bytes:
            raise LayoutError(
                f"expected {data_size} bytes from {HEADER_BYTES[version]} on, within the "
                f"segment's {segment_bytes}; got an offset of {offset}"
            )
        return header

    def pack(self) -> bytes:
        """Header 1, the only one that releases before 2025 know. Not seen in a running
        TouchDesigner: others found that 2025, whose header is version 2, sends 1 and reads
        both."""
        fields = _HEADER.pack(
            _MAGIC,
            1,
            self.width,
            self.height,
            1.0,
            1.0,
            self.pixel_format.code,
            self.data_size,
            self.data_offset,
        )
        return fields.ljust(HEADER_BYTES[1], b"\0")

    def pixels_in(self, segment: memoryview) -> Pixels:
        """The pixels [H, W, C] where they lie, rows and channels as in memory."""
        layout = self.pixel_format
        shape = (self.height, self.width, layout.channels)
        flat = np.frombuffer(segment, layout.dtype, int(np.prod(shape)), self.data_offset)
        return flat.reshape(shape)

    def fingerprint(self, segment: memoryview) -> int:
        """A checksum of every n-th byte of the pixels, some 16,000 of them.

        n is odd, so that it visits all channels, and no divisor of a row, so that it visits
        all columns.
        """
        stride = max(1, self.data_size // SAMPLES) | 1
        while stride > 1 and self.row_bytes % stride == 0:
            stride += 2
        data = np.frombuffer(segment, np.uint8, self.data_size, self.data_offset)
        return zlib.crc32(data[::stride].tobytes())

    def copied(self, segment: memoryview) -> Pixels:
        """A copy in one pass, rows as in memory; blue-first pixels become red-first on the way."""
        pixels = self.pixels_in(segment)
        if self.pixel_format.blue_first:
            return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA))
        return pixels.astype(pixels.dtype.newbyteorder("="))


def frame_pixels(copied: Pixels, row_order: RowOrder) -> Pixels:
    """A frame's pixels of a copy, rows top-down, turned in place.

    One uint8 channel stays one, red or alpha; one float channel becomes opaque grey.
    """
    if row_order is RowOrder.BOTTOM_UP:
        rows = copied.reshape(len(copied), -1).view(np.uint8)
        cv2.flip(rows, 0, dst=rows)
    if copied.shape[2] == 1 and copied.dtype == np.float32:
        return np.asarray(cv2.cvtColor(copied, cv2.COLOR_GRAY2RGBA))
    return copied


def stored(pixels: Pixels, row_order: RowOrder) -> tuple[TouchHeader, Pixels]:
    """The header for a picture and its pixels [H, W, C] as they lie in memory.

    One channel is sent as red, which TouchDesigner shows as grey; three get an opaque alpha.
    FrameFormatError if the picture is larger than TouchDesigner's textures.
    """
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_SIDE:
        raise FrameFormatError(f"expected sides of at most {MAX_SIDE}; got {width} x {height}")
    pixel_format = PixelFormat.of(pixels)
    header = TouchHeader(width=width, height=height, pixel_format=_SENT_AS[pixel_format])
    if pixel_format is PixelFormat.RGB8:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA))
    return header, pixels[::-1] if row_order is RowOrder.BOTTOM_UP else pixels
