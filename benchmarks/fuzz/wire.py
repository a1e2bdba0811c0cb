"""Multipart messages of the ZeroMQ link: commands, frames and mattes.

An input is its kind (one byte), the length of its header (four bytes), the header and the pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

import msgpack
import numpy as np
from promptmatte.frame import Frame, FrameInfo, Matte, PixelFormat
from promptmatte.links import wire
from promptmatte.links.wire import Stamp

from .target import Target
from .values import mutated

COMMAND, FRAME, MATTE, FILLED = range(4)
HEAD = struct.Struct("<BI")


def run(data: bytes) -> None:
    """Decodes one message; what decodes is whole and can be encoded again."""
    kind, header, pixels = _parts(data)
    match kind % 4:
        case 0:
            wire.encode_command(wire.decode_command(header))
        case 1:
            frame, stamp = wire.decode_frame(header, pixels)
            _same_frame(frame, stamp)
        case 2:
            matte, stamp = wire.decode_matte(header, pixels)
            wire.encode_matte(matte, stamp)
        case _:
            half = len(pixels) // 4
            matte, stamp = wire.decode_matte(header, pixels[:half], pixels[half:])
            wire.encode_matte(matte, stamp)


def _same_frame(frame: Frame, stamp: Stamp) -> None:
    again, _ = wire.decode_frame(wire.encode_frame(frame, stamp), wire.pixel_bytes(frame.pixels))
    if again.info != frame.info or again.pixels.shape != frame.pixels.shape:
        raise AssertionError(f"expected {frame.info} again; got {again.info}")


def seeds() -> Sequence[bytes]:
    """A message of each kind and pixel format."""
    info = FrameInfo(stream_id=1, seq=2, pts_ns=3, captured_ns=4)
    stamp = Stamp(sender=1, serial=0)
    command = {"command": "prompt", "prompts": [{"text": "person"}]}
    found = [_packed(COMMAND, wire.encode_command(command), b"")]
    for kind in PixelFormat:
        pixels = np.zeros((2, 3, kind.channels), kind.dtype)
        header = wire.encode_frame(Frame(info=info, pixels=pixels.copy()), stamp)
        found.append(_packed(FRAME, header, pixels.tobytes()))
    for fill in (None, np.zeros((2, 3, 3), np.uint8)):
        alpha = np.zeros((2, 3, 1), np.uint8)
        matte = Matte(
            info=info, alpha=alpha, anchor_seq=-1, age_ms=1.5, confidence=(0.5,),
            prompts_version=1, fill=fill,
        )  # fmt: skip
        pixels_of = alpha.tobytes() + (b"" if fill is None else fill.tobytes())
        kind_of = MATTE if fill is None else FILLED
        found.append(_packed(kind_of, wire.encode_matte(matte, stamp), pixels_of))
    return found


def mutate(data: bytes, chance: Random) -> bytes:
    """The same with something else in its header."""
    kind, header, pixels = _parts(data)
    if chance.random() < 0.02:
        return _packed(kind, b"\x91" * chance.randrange(1100) + b"\xc0", pixels)
    try:
        fields = mutated(msgpack.unpackb(header, strict_map_key=False), chance)
        return _packed(kind, msgpack.packb(fields, unicode_errors="surrogatepass"), pixels)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        return data


def _packed(kind: int, header: bytes, pixels: bytes) -> bytes:
    return HEAD.pack(kind % 256, len(header)) + header + pixels


def _parts(data: bytes) -> tuple[int, bytes, bytes]:
    kind, length = HEAD.unpack(data[: HEAD.size].ljust(HEAD.size, b"\0"))
    body = data[HEAD.size :]
    return kind, body[:length], body[length:]


TARGET = Target(run=run, seeds=seeds, mutate=mutate)
