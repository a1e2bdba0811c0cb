"""OpenEXR pictures by the codec of FFmpeg, which comes with PyAV."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from promptmatte.errors import DataError

Floats = npt.NDArray[np.float32]

_PLANES = {"gray": (0,), "gbrp": (2, 0, 1), "gbrap": (2, 0, 1, 3)}
"""Pixel formats of FFmpeg without their float type: which plane is red, green, blue, alpha."""


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
    codec = av.CodecContext.create("exr", "r")
    try:
        frames = [*codec.decode(av.Packet(data)), *codec.decode(None)]
    except av.FFmpegError as error:
        raise DataError(
            f"expected an OpenEXR picture with the channels R, G and B, or Y; got one that cannot "
            f"be decoded ({error.strerror}): name its channels so, or save .npy or .tiff"
        ) from error
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
