"""How large a picture says it is, read from its head before anything decodes it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from promptmatte.errors import SourceError

MAX_PIXELS = 40_000_000
"""Of a picture, a frame of a video or stream, or one that a link carries: 8K has 33 million. A
few kilobytes can say that they hold billions."""

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
SIZED = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG markers that are followed by the picture's size."""

ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a length."""

TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
TIFF_WIDTH, TIFF_HEIGHT = 256, 257
TIFF_SHORT, TIFF_LONG = 3, 4


def check_pixels(width: int, height: int, *, most: int = MAX_PIXELS) -> None:
    """SourceError for a picture of more pixels than are taken."""
    if width * height > most:
        raise SourceError(
            f"expected a picture of at most {most / 1_000_000:g} megapixels; got "
            f"{width} x {height}: save it smaller"
        )


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height that a PNG, JPEG, BMP, WebP or TIFF says it has; SourceError if it is
    none of them."""
    try:
        found = _said_size(data)
    except struct.error:  # cut off
        found = (0, 0)
    if found is None:
        raise SourceError(
            "expected a JPEG, PNG, BMP, WebP or TIFF picture; got a file of another kind"
        )
    width, height = found
    if width <= 0 or height <= 0:
        raise SourceError("expected a picture with a size; got a damaged file: save it again")
    return width, height


def _said_size(data: bytes) -> tuple[int, int] | None:
    if data.startswith(PNG) and data[12:16] == b"IHDR":
        return _png_size(data)
    if data.startswith(JPEG):
        height, width = next(_jpeg_sizes(data), (0, 0))
        return width, height
    if data.startswith(b"BM"):
        return _bmp_size(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data[:4] in TIFF_ORDERS:
        return _tiff_size(data, TIFF_ORDERS[data[:4]])
    return None


def _png_size(data: bytes) -> tuple[int, int]:
    """No size where a part is longer than the file: OpenCV takes as much memory as a part says
    before it reads it, of 4 GB for a file of 200 bytes."""
    at = len(PNG)
    while at + 8 <= len(data):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    if at > len(data):
        return 0, 0
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Height and width at each marker that has them."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in SIZED:
            yield struct.unpack(">HH", data[at + 5 : at + 9])
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _bmp_size(data: bytes) -> tuple[int, int]:
    """Negative heights are of pictures with the top row first."""
    (head_bytes,) = struct.unpack_from("<I", data, 14)
    if head_bytes == 12:
        return struct.unpack_from("<HH", data, 18)
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Of the lossy, lossless or extended form, whichever the first chunk is."""
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            struct.unpack_from("<B", data, 29)
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(
                data[27:30], "little"
            )
    return 0, 0


def _tiff_size(data: bytes, order: str) -> tuple[int, int]:
    """Of the first picture, which is the one that is read."""
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    sides = {TIFF_WIDTH: 0, TIFF_HEIGHT: 0}
    for entry_at in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, entry_at)
        if tag in sides and kind in (TIFF_SHORT, TIFF_LONG):
            form = f"{order}{'H' if kind == TIFF_SHORT else 'I'}"
            sides[tag] = max(sides[tag], *struct.unpack_from(form, data, entry_at + 8))
    return sides[TIFF_WIDTH], sides[TIFF_HEIGHT]
