"""OpenEXR pictures by the codec of FFmpeg, which comes with PyAV."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from promptmatte.errors import DataError

Floats = npt.NDArray[np.float32]

_PLANES = {"gray": (0,), "gbrp": (2, 0, 1), "gbrap": (2, 0, 1, 3)}
"""Pixel formats of FFmpeg without their float type: which plane is red, green, blue, alpha."""

_UNREADABLE = (
    "expected an OpenEXR picture with the channels R, G and B, or Y; got one that cannot be "
    "decoded ({}): name its channels so, or save .npy or .tiff"
)


def encoded_exr(texture: Floats) -> bytes:
    """A file of the float channels R, G, B and A of a texture [H, W, 4], losslessly compressed."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture), format="gbrapf32le")
    codec = av.CodecContext.create("exr", "w")
    codec.width, codec.height = frame.width, frame.height
    codec.pix_fmt, codec.time_base = "gbrapf32le", Fraction(1, 1)
    codec.options = {"format": "float", "compression": "zip16"}
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def decoded_exr(data: bytes) -> Floats:
    """The channels R, G, B (and A), or Y, as float32 [H, W, 1, 3 or 4]; DataError."""
    if not _is_whole(data):
        raise DataError(_UNREADABLE.format(f"{len(data)} bytes, damaged or cut off"))
    codec = av.CodecContext.create("exr", "r")
    try:
        frames = [*codec.decode(av.Packet(data)), *codec.decode(None)]
    except av.FFmpegError as error:
        raise DataError(_UNREADABLE.format(error.strerror)) from error
    if not frames:
        raise DataError(_UNREADABLE.format("no picture in it"))
    kind, _, number = frames[0].format.name.partition("f")
    if kind not in _PLANES or number not in ("16le", "32le"):
        raise DataError(f"expected float channels R, G and B, or Y; got {frames[0].format.name}")
    frame, item = frames[0], np.dtype("<f2" if number == "16le" else "<f4")
    planes = [
        np.frombuffer(frame.planes[index], item)
        .reshape(frame.height, frame.planes[index].line_size // item.itemsize)[:, : frame.width]
        for index in _PLANES[kind]
    ]  # fmt: skip
    return np.stack(planes, axis=2).astype(np.float32)


_MAGIC = b"\x76\x2f\x31\x01"
_NOT_PLAIN = 0x200 | 0x800 | 0x1000
"""Version flags of tiled, deep and multi-part files, whose chunks lie otherwise."""

_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""Lines a chunk, by compression."""


def _is_whole(data: bytes) -> bool:
    """Whether all lines are there, which FFmpeg does not ask: it leaves missing ones 0.

    After "OpenEXR File Layout": a header of attributes, a table of the chunks' offsets, chunks
    of y, size and content.
    """
    try:
        if data[:4] != _MAGIC or struct.unpack_from("<I", data, 4)[0] & _NOT_PLAIN:
            return data[:4] == _MAGIC
        at, attributes = 8, {}
        while data[at] != 0:
            name_end = data.index(0, at)
            type_end = data.index(0, name_end + 1)
            (size,) = struct.unpack_from("<I", data, type_end + 1)
            attributes[data[at:name_end]] = data[type_end + 5 : type_end + 5 + size]
            at = type_end + 5 + size
        _, top, _, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
        count = -(-(bottom - top + 1) // _LINES[attributes[b"compression"][0]])
        for offset in struct.unpack_from(f"<{count}Q", data, at + 1):
            (size,) = struct.unpack_from("<I", data, offset + 4)
            if offset + 8 + size > len(data):
                return False
    except (struct.error, ValueError, IndexError, KeyError, OverflowError):
        return False
    return True
