"""Pictures that people upload, checked before anything decodes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from promptmatte.errors import SourceError
from promptmatte.frame import Frame
from promptmatte.sources.image import read_image

MAX_BYTES = 4 * 1024 * 1024
MAX_PIXELS = 40_000_000
"""A few kilobytes can say that they hold billions; phones make 12 to 50 million."""

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
SIZED = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG markers that are followed by the picture's size."""

ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a length."""


def read_upload(path: Path) -> Frame:
    """The JPEG or PNG as an rgb8 frame, turned upright; SourceError for one that is too large,
    of another kind or damaged."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SourceError(
            f"expected a picture of at most {MAX_BYTES >> 20} MB; got "
            f"{size / (1 << 20):.1f} MB: save it smaller, or as JPEG"
        )
    width, height = picture_size(path.read_bytes())
    if width * height > MAX_PIXELS:
        raise SourceError(
            f"expected a picture of at most {MAX_PIXELS // 1_000_000} megapixels; got "
            f"{width} x {height}: save it smaller"
        )
    try:
        return read_image(path)
    except SourceError as error:  # whose message names a file of the server's
        raise SourceError(
            "expected a picture that can be decoded; got a damaged file: save it again"
        ) from error


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height that a PNG or JPEG says it has; SourceError if it is neither."""
    if data.startswith(PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
    elif data.startswith(JPEG):
        height, width = next(_jpeg_sizes(data), (0, 0))
    else:
        raise SourceError("expected a JPEG or PNG picture; got a file of another kind")
    if not width or not height:
        raise SourceError("expected a picture with a size; got a damaged file: save it again")
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
