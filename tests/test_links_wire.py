"""Pictures and commands as bytes: what goes through, and all that must not."""

import pickle
import random
from dataclasses import replace

import msgpack
import numpy as np
import pytest
from links_testing import make_frame, make_matte
from promptmatte.errors import LinkError
from promptmatte.frame import Frame, FrameInfo, PixelFormat
from promptmatte.links import wire
from promptmatte.links.wire import Stamp, WireError

STAMP = Stamp(sender=2**63 - 1, serial=7)
ABSENT = object()


def good_matte_fields() -> dict:
    return msgpack.unpackb(wire.encode_matte(make_matte(1, (4, 3)), STAMP))


@pytest.mark.parametrize("pixel_format", PixelFormat)
def test_a_frame_comes_back_as_it_was(pixel_format: PixelFormat) -> None:
    frame = make_frame(5, (4, 3), pixel_format)
    got, stamp = wire.decode_frame(
        wire.encode_frame(frame, STAMP), wire.pixel_bytes(frame.pixels).tobytes()
    )
    assert stamp == STAMP
    assert got.info == frame.info
    assert got.format is pixel_format
    assert not got.pixels.flags.writeable
    np.testing.assert_array_equal(got.pixels, frame.pixels)


def test_pixels_are_neither_copied_out_nor_in() -> None:
    frame = make_frame(1, (16, 16), PixelFormat.RGBA32F)
    sent = wire.pixel_bytes(frame.pixels)
    assert np.shares_memory(np.frombuffer(sent, np.uint8), frame.pixels)
    got, _ = wire.decode_frame(wire.encode_frame(frame, STAMP), sent)
    assert np.shares_memory(got.pixels, frame.pixels)


def test_pixels_at_an_odd_address_are_usable() -> None:
    frame = make_frame(1, (5, 5), PixelFormat.RGBA32F)
    shifted = memoryview(b"x" + wire.pixel_bytes(frame.pixels).tobytes())[1:]
    got, _ = wire.decode_frame(wire.encode_frame(frame, STAMP), shifted)
    assert got.pixels.flags.aligned
    np.testing.assert_array_equal(got.pixels, frame.pixels)


def test_numbers_of_numpy_can_be_sent() -> None:
    info = FrameInfo(
        stream_id=np.int64(1), seq=np.uint32(2), pts_ns=np.int64(-3), captured_ns=np.int64(4)
    )
    frame = Frame(info=info, pixels=np.zeros((2, 2, 1), np.uint8))
    got, _ = wire.decode_frame(wire.encode_frame(frame, STAMP), bytes(4))
    assert got.info == FrameInfo(stream_id=1, seq=2, pts_ns=-3, captured_ns=4)
    matte = replace(make_matte(1, (1, 1)), age_ms=np.float32(2), confidence=(np.float32(0.5),))
    back, _ = wire.decode_matte(wire.encode_matte(matte, STAMP), bytes(1))
    assert (back.age_ms, back.confidence) == (2.0, (0.5,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 1),
        ("version", 3),
        ("version", ABSENT),
        ("sender", -1),
        ("sender", 2**63),
        ("serial", "7"),
        ("stream_id", 2**63),
        ("stream_id", None),
        ("seq", -1),
        ("seq", True),
        ("seq", 1.0),
        ("pts_ns", -(2**63)),
        ("captured_ns", ABSENT),
        ("format", 0),
        ("format", 6),
        ("format", [1]),
        ("height", 0),
        ("height", -4),
        ("height", 5),
        ("width", 16_385),
        ("width", 2**62),
        ("anchor_seq", -2),
        ("prompts_version", -1),
        ("age_ms", float("nan")),
        ("age_ms", float("inf")),
        ("age_ms", "1"),
        ("confidence", 0.5),
        ("confidence", [0.5] * 5),
        ("confidence", [1.01]),
        ("confidence", [float("nan")]),
        ("confidence", [True]),
        ("confidence", ABSENT),
        ("fill", -1),
        ("fill", 2),
        ("fill", 256),
        ("fill", None),
        ("fill", ABSENT),
        ("colour", 1),
    ],
)
def test_a_wrong_field_is_rejected_by_name(name: str, value: object) -> None:
    fields = good_matte_fields()
    wire.decode_matte(msgpack.packb(fields), bytes(12))
    if value is ABSENT:
        del fields[name]
    else:
        fields[name] = value
    meant = {"height": "bytes|height", "colour": "unknown.*colour"}.get(name, name)
    with pytest.raises(WireError, match=rf"expected .*({meant}).*got |got .*{meant}"):
        wire.decode_matte(msgpack.packb(fields), bytes(12))


@pytest.mark.parametrize("size", [0, 11, 13, 12_000])
def test_pixels_of_another_size_are_rejected(size: int) -> None:
    with pytest.raises(WireError, match=f"expected 12 bytes of pixels for 3x4 gray8; got {size}"):
        wire.decode_matte(msgpack.packb(good_matte_fields()), bytes(size))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xc1",
        b"\x91" * 4000,
        b"\x80\x80",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc7\x00\x05",
        msgpack.packb([1, 2]),
        msgpack.packb({1: 2}),
        msgpack.packb({"version": 2, "x": b"bytes"}),
        msgpack.packb({"version": msgpack.ExtType(1, b"x")}),
        msgpack.packb({"version": msgpack.Timestamp(1)}),
        b"\x81\xa1\xff\x01",
        pickle.dumps({"version": 1}),
        msgpack.packb({"version": "x" * wire.MAX_HEADER_BYTES}),
    ],
)
def test_what_is_no_header_is_rejected(header: bytes) -> None:
    for decode in (wire.decode_frame, wire.decode_matte):
        with pytest.raises(WireError, match=r"expected .*; got ") as caught:
            decode(header, b"")
        assert len(str(caught.value)) < 300


def test_garbage_never_gets_past_the_checks() -> None:
    chance = random.Random(6)
    good = wire.encode_matte(make_matte(1, (4, 3)), STAMP)
    passed = 0
    for _ in range(5000):
        body = bytearray(good if chance.random() < 0.8 else chance.randbytes(chance.randrange(200)))
        for _ in range(chance.randrange(1, 4) if body else 0):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            matte, _ = wire.decode_matte(bytes(body), bytes(12))
        except WireError:
            continue
        passed += 1
        assert matte.alpha.size == 12
        assert all(0 <= c <= 1 for c in matte.confidence)
    assert 0 < passed < 4000


@pytest.mark.parametrize("fill_format", [PixelFormat.RGB8, PixelFormat.RGBA8])
def test_a_fill_comes_back_as_it_was_without_a_copy(fill_format: PixelFormat) -> None:
    matte = make_matte(5, (4, 3), PixelFormat.RGBA8, fill_format)
    parts = wire.pixel_bytes(matte.alpha), wire.pixel_bytes(matte.fill)
    got, stamp = wire.decode_matte(wire.encode_matte(matte, STAMP), *parts)
    assert stamp == STAMP
    assert got.fill_format is fill_format
    assert not got.fill.flags.writeable
    assert np.shares_memory(got.fill, matte.fill)
    np.testing.assert_array_equal(got.alpha, matte.alpha)
    np.testing.assert_array_equal(got.fill, matte.fill)


def with_fill_fields() -> dict:
    matte = make_matte(1, (4, 3), fill_format=PixelFormat.RGB8)
    return msgpack.unpackb(wire.encode_matte(matte, STAMP))


@pytest.mark.parametrize("size", [0, 12, 35, 37, 48, 36_000])
def test_a_fill_of_another_size_is_rejected(size: int) -> None:
    wire.decode_matte(msgpack.packb(with_fill_fields()), bytes(12), bytes(36))
    with pytest.raises(WireError, match=f"expected 36 bytes of pixels for 3x4 rgb8; got {size}"):
        wire.decode_matte(msgpack.packb(with_fill_fields()), bytes(12), bytes(size))


def test_header_and_fill_come_together_or_not_at_all() -> None:
    with pytest.raises(WireError, match=r"expected a fill as its header says \(2.*got none"):
        wire.decode_matte(msgpack.packb(with_fill_fields()), bytes(12))
    with pytest.raises(WireError, match=r"expected a fill as its header says \(0.*36 bytes"):
        wire.decode_matte(msgpack.packb(good_matte_fields()), bytes(12), bytes(36))


@pytest.mark.parametrize("fill_format", [1, 4, 5, 6, 255])
def test_a_fill_of_another_format_is_rejected(fill_format: int) -> None:
    fields = with_fill_fields() | {"fill": fill_format}
    with pytest.raises(WireError, match=rf"expected fill as .* of \[2, 3\]; got {fill_format}"):
        wire.decode_matte(msgpack.packb(fields), bytes(12), bytes(36))


def test_garbage_with_a_fill_never_gets_past_the_checks() -> None:
    chance = random.Random(7)
    good = msgpack.packb(with_fill_fields())
    passed = 0
    for _ in range(5000):
        body = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        fill = chance.choice((None, b"", bytes(12), bytes(36), bytes(36), bytes(48)))
        try:
            matte, _ = wire.decode_matte(bytes(body), bytes(12), fill)
        except WireError:
            continue
        passed += 1
        assert matte.fill is None if fill is None else matte.fill.nbytes == len(fill)
        assert matte.fill is None or matte.fill.shape[:2] == matte.size_hw
    assert 0 < passed < 3000


def test_a_fill_no_reader_would_take_is_neither_sent_nor_read() -> None:
    side = wire.MAX_SIDE
    alpha = np.broadcast_to(np.uint8(0), (side, side, 1))
    fill = np.broadcast_to(np.uint8(0), (side, side, 3))
    matte = replace(make_matte(0), alpha=alpha, fill=fill)
    with pytest.raises(WireError, match=f"at most {wire.MAX_PIXEL_BYTES} bytes"):
        wire.encode_matte(matte, STAMP)
    absurd = with_fill_fields() | {"height": side, "width": side}
    with pytest.raises(WireError, match=r"expected .* bytes.*; got "):
        wire.decode_matte(msgpack.packb(absurd), bytes(12), bytes(36))


def test_what_no_reader_would_take_is_not_sent() -> None:
    wide = np.broadcast_to(np.uint8(0), (1, wire.MAX_SIDE + 1, 1))
    with pytest.raises(WireError, match="width"):
        wire.encode_frame(Frame(info=make_frame(0).info, pixels=wide), STAMP)
    large = np.broadcast_to(np.float32(0), (wire.MAX_SIDE, wire.MAX_SIDE, 4))
    with pytest.raises(WireError, match=f"at most {wire.MAX_PIXEL_BYTES} bytes"):
        wire.encode_frame(Frame(info=make_frame(0).info, pixels=large), STAMP)
    with pytest.raises(WireError, match="age_ms"):
        wire.encode_matte(replace(make_matte(0), age_ms=float("nan")), STAMP)


def test_commands_come_back_as_they_were() -> None:
    command = {"do": "grüße 红", "n": [1, -2.5, None, True, {"a": {}}]}
    assert wire.decode_command(wire.encode_command(command)) == command
    assert wire.decode_command(memoryview(wire.encode_command({}))) == {}


def test_commands_that_cannot_be_sent_are_refused() -> None:
    nested: list = []
    nested.append(nested)
    for bad in ({"x": object()}, {"x": 2**64}, {"x": nested}, {"x": "y" * wire.MAX_COMMAND_BYTES}):
        with pytest.raises(WireError, match="expected"):
            wire.encode_command(bad)
    with pytest.raises(LinkError, match="expected a command"):
        wire.decode_command(b"\xc1")
