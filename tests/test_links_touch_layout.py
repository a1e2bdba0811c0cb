"""The byte layouts of TouchDesigner's Shared Mem TOPs, against bytes written out by hand."""

import random
import struct

import numpy as np
import pytest
from promptmatte.frame import PixelFormat
from promptmatte.links.touch_layout import (
    CORE_BYTES,
    INFO_BYTES,
    ROW_ORDER,
    RowOrder,
    TouchFormat,
    TouchHeader,
    TouchInfo,
    data_name,
    frame_pixels,
    info_name,
    mutex_name,
    new_postfix,
    stored,
)
from promptmatte_shm.errors import FrameFormatError, LayoutError

HEADER_1 = bytes.fromhex(
    "35f85ed9 01000000 80070000 38040000 0000803f 0000803f 2c000000 00000000"
    "00907e00 00000000 30000000 00000000"
)
"""1920 x 1080 BGRA8 under header 1."""

HEADER_2 = bytes.fromhex(
    "35f85ed9 02000000 02000000 03000000 0000803f 0000803f 61000000 00000000"
    "30000000 00000000 38000000 02000000 01000000 00000000"
)
"""2 x 3 RGBA16F under header 2, with Rec.709 primaries and an sRGB curve."""

INFO = bytes.fromhex("ba34ed56 02000000 01 00") + "abc".encode("utf-16-le") + bytes(58) + b"\1\0"

# Two rows of two pixels as they lie in memory, of each format, and what they show.
RED, GREEN, BLUE, HALF = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (10, 20, 30, 128)
RGBA = bytes([*RED, *GREEN, *BLUE, *HALF])
BGRA = bytes([0, 0, 255, 255, 0, 255, 0, 255, 255, 0, 0, 255, 30, 20, 10, 128])
FLOATS = (1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0.25, 0.5, -2, 0.5)
CASES = [
    (9, bytes([1, 2, 3, 4]), PixelFormat.GRAY8, [1, 2, 3, 4]),
    (0xF0001, bytes([1, 2, 3, 4]), PixelFormat.GRAY8, [1, 2, 3, 4]),
    (37, RGBA, PixelFormat.RGBA8, [*RED, *GREEN, *BLUE, *HALF]),
    (43, RGBA, PixelFormat.RGBA8, [*RED, *GREEN, *BLUE, *HALF]),
    (44, BGRA, PixelFormat.RGBA8, [*RED, *GREEN, *BLUE, *HALF]),
    (50, BGRA, PixelFormat.RGBA8, [*RED, *GREEN, *BLUE, *HALF]),
    (97, struct.pack("<16e", *FLOATS), PixelFormat.RGBA16F, FLOATS),
    (109, struct.pack("<16f", *FLOATS), PixelFormat.RGBA32F, FLOATS),
    (100, struct.pack("<4f", 0, 0.5, 1, 7), PixelFormat.RGBA32F,
     [0, 0, 0, 1, 0.5, 0.5, 0.5, 1, 1, 1, 1, 1, 7, 7, 7, 1]),
]  # fmt: skip


def header_of(code: int, width: int, height: int, data: bytes, offset: int = 48) -> bytes:
    fields = (0xD95EF835, 1, width, height, 1.0, 1.0, code, len(data), offset)
    return struct.pack("<IIiiffI4xqi", *fields).ljust(offset, b"\0")


def test_both_header_versions_are_read() -> None:
    one = TouchHeader.unpack(HEADER_1, 48 + 8_294_400)
    assert (one.width, one.height, one.pixel_format) == (1920, 1080, TouchFormat.BGRA8)
    assert (one.data_offset, one.data_size, str(one)) == (48, 8_294_400, "1920 x 1080 BGRA8")
    two = TouchHeader.unpack(HEADER_2, 56 + 48)
    assert (two.width, two.height, two.pixel_format) == (2, 3, TouchFormat.RGBA16F)
    assert (two.data_offset, two.data_size) == (56, 48)


def test_a_header_is_written_as_version_1() -> None:
    header = TouchHeader(width=1920, height=1080, pixel_format=TouchFormat.BGRA8)
    assert header.pack() == HEADER_1
    assert header.segment_bytes == 48 + 8_294_400


def test_the_info_is_76_bytes_with_a_wide_postfix() -> None:
    assert len(INFO) == INFO_BYTES == 76
    info = TouchInfo(supported=True, postfix="abc", detached=True)
    assert TouchInfo.unpack(INFO) == info
    assert info.pack() == INFO
    longest = new_postfix()
    assert len(longest) == 31
    assert longest.isalpha()
    assert longest.islower()
    raw = TouchInfo(supported=False, postfix=longest, detached=False).pack()
    assert raw[10:72].decode("utf-16-le") == longest
    assert raw[72:76] == bytes(4)
    assert new_postfix() != longest


def test_the_first_version_of_the_info_has_no_detach_flag() -> None:
    raw = INFO[:4] + bytes([1]) + INFO[5:]
    assert TouchInfo.unpack(raw) == TouchInfo(supported=True, postfix="abc", detached=False)


def test_the_names_are_the_published_ones() -> None:
    assert data_name("TOPShm") == "TouchSHMTOPShm"
    assert data_name("TOPShm", "abc") == "TouchSHMTOPShmabc"
    assert mutex_name(data_name("TOPShm")) == "TouchSHMTOPShmMutex"
    assert info_name("TOPShm") == "TouchSHMTouchSHMTOPShm4jhd783h"
    assert mutex_name(info_name("TOPShm")) == "TouchSHMTouchSHMTOPShm4jhd783hMutex"


@pytest.mark.parametrize(("code", "data", "pixel_format", "values"), CASES)
@pytest.mark.parametrize("offset", [48, 56, 61, 4096])
def test_every_format_shows_its_colours(
    code: int, data: bytes, pixel_format: PixelFormat, values: list[float], offset: int
) -> None:
    segment = memoryview(header_of(code, 2, 2, data, offset) + data + b"beyond")
    header = TouchHeader.unpack(bytes(segment[:CORE_BYTES]), len(segment))
    top_down = frame_pixels(header.copied(segment), RowOrder.TOP_DOWN)
    assert PixelFormat.of(top_down) is pixel_format
    assert top_down.flatten().tolist() == pytest.approx(list(values))
    bottom_up = frame_pixels(header.copied(segment), RowOrder.BOTTOM_UP)
    assert bottom_up.flags.c_contiguous
    np.testing.assert_array_equal(bottom_up, top_down[::-1])


def test_rows_are_turned_whole_whatever_the_size() -> None:
    rng = np.random.default_rng(4)
    for height, width in ((1, 5), (2, 1), (3, 7), (270, 481)):
        pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
        np.testing.assert_array_equal(frame_pixels(pixels.copy(), RowOrder.BOTTOM_UP), pixels[::-1])
    assert ROW_ORDER is RowOrder.BOTTOM_UP


@pytest.mark.parametrize(
    ("shape", "dtype", "touch_format"),
    [
        ((5, 3, 1), "uint8", TouchFormat.R8),
        ((5, 3, 3), "uint8", TouchFormat.RGBA8),
        ((5, 3, 4), "uint8", TouchFormat.RGBA8),
        ((5, 3, 4), "float16", TouchFormat.RGBA16F),
        ((5, 3, 4), "float32", TouchFormat.RGBA32F),
    ],
)
def test_what_is_stored_is_read_back(
    shape: tuple[int, int, int], dtype: str, touch_format: TouchFormat
) -> None:
    pixels = np.random.default_rng(5).integers(0, 200, shape).astype(dtype)
    for order in RowOrder:
        header, rows = stored(pixels, order)
        assert header.pixel_format is touch_format
        assert header.data_offset == 48
        segment = header.pack() + np.ascontiguousarray(rows).tobytes()
        assert len(segment) == header.segment_bytes
        again = TouchHeader.unpack(segment, len(segment))
        back = frame_pixels(again.copied(memoryview(segment)), order)
        np.testing.assert_array_equal(back[..., : shape[2]], pixels)
        if shape[2] == 3:
            assert (back[..., 3] == 255).all()


def test_a_picture_too_large_for_a_texture_is_refused() -> None:
    with pytest.raises(FrameFormatError, match="at most 16384"):
        stored(np.zeros((1, 16385, 1), np.uint8), ROW_ORDER)


FIELDS = {
    "magic": (0, "<I"), "version": (4, "<I"), "width": (8, "<i"), "height": (12, "<i"),
    "format": (24, "<I"), "size": (32, "<q"), "offset": (40, "<i"),
}  # fmt: skip


def test_garbage_in_any_field_is_refused() -> None:
    chance = random.Random(1)
    good = bytearray(header_of(44, 16, 9, bytes(16 * 9 * 4)))
    segment_bytes = len(good) + 16 * 9 * 4
    TouchHeader.unpack(bytes(good), segment_bytes)
    for place, kind in FIELDS.values():
        edge = 8 * struct.calcsize(kind)
        low, high = (0, 2**edge - 1) if kind == "<I" else (-(2 ** (edge - 1)), 2 ** (edge - 1) - 1)
        values = [low, high, 0, 1, 3, 7, 47, 16384, 16385, -1]
        values += [chance.randint(low, high) for _ in range(40)]
        kept = struct.unpack_from(kind, good, place)[0]
        for value in values:
            if not low <= value <= high or value == kept:
                continue
            bad = bytearray(good)
            struct.pack_into(kind, bad, place, value)
            with pytest.raises(LayoutError, match="expected"):
                TouchHeader.unpack(bytes(bad), segment_bytes)


def test_random_bytes_are_never_a_picture_or_an_info() -> None:
    chance = random.Random(2)
    for _ in range(300):
        raw = chance.randbytes(chance.randrange(100))
        with pytest.raises(LayoutError):
            TouchHeader.unpack(raw, 1 << 30)
        with pytest.raises(LayoutError):
            TouchInfo.unpack(raw)
    for _ in range(300):
        raw = bytearray(INFO)
        raw[10:74] = chance.randbytes(64)
        with pytest.raises(LayoutError, match="postfix"):
            TouchInfo.unpack(bytes(raw))


@pytest.mark.parametrize(("version", "offset"), [(1, 47), (1, -1), (2, 55), (2, 48)])
def test_pixels_never_begin_within_the_header(version: int, offset: int) -> None:
    raw = bytearray(header_of(9, 2, 2, bytes(4)))
    struct.pack_into("<I", raw, 4, version)
    struct.pack_into("<i", raw, 40, offset)
    with pytest.raises(LayoutError, match="offset"):
        TouchHeader.unpack(bytes(raw), 4096)


def test_pixels_end_within_the_segment() -> None:
    raw = header_of(9, 8, 8, bytes(64))
    TouchHeader.unpack(raw, 112)
    with pytest.raises(LayoutError, match="within the segment's 111"):
        TouchHeader.unpack(raw, 111)


@pytest.mark.parametrize("pixel_format", TouchFormat)
@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (507, 300), (1014, 8)])
def test_a_changed_patch_changes_the_fingerprint(
    pixel_format: TouchFormat, width: int, height: int
) -> None:
    header = TouchHeader(width=width, height=height, pixel_format=pixel_format)
    segment = bytearray(header.segment_bytes)
    before = header.fingerprint(memoryview(segment))
    assert header.fingerprint(memoryview(segment)) == before
    rng = np.random.default_rng(6)
    side = 48
    for _ in range(20):
        changed = segment.copy()
        pixels = np.frombuffer(changed, np.uint8, offset=48).reshape(height, -1)
        row = int(rng.integers(0, max(1, height - side)))
        column = int(rng.integers(0, max(1, header.row_bytes - 4 * side)))
        pixels[row : row + side, column : column + 4 * side] = 200
        assert header.fingerprint(memoryview(changed)) != before
