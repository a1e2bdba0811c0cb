"""Pictures and commands as bytes: a msgpack header beside raw pixels, checked on arrival.

A picture is a header and its pixels (rows top-down, C order, little-endian). The header
is a map with exactly these fields: version, sender, serial, stream_id, seq, pts_ns,
captured_ns, format (PixelFormat code), height, width; a matte adds anchor_seq, age_ms,
confidence, prompts_version and fill: the PixelFormat code of the picture of the same size
that comes as a second part of pixels, 0 if none does. A command or answer is one msgpack
map. Nothing that arrives is used before its size, fields, types and ranges were checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import msgpack
import numpy as np
import numpy.typing as npt
from promptmatte_shm.mailbox import MAX_DEPTH, is_shallow

from promptmatte.errors import LinkError
from promptmatte.frame import FILL_FORMATS, MAX_CHANNELS, Frame, FrameInfo, Matte, PixelFormat

WIRE_VERSION = 2
MAX_HEADER_BYTES = 64 * 1024
MAX_PIXEL_BYTES = 512 * 1024 * 1024
MAX_COMMAND_BYTES = 1024 * 1024
MAX_SIDE = 16_384
_MAX_ITEMS = 65_536
_MAX_INT = 2**63 - 1

Buffer = bytes | memoryview

_FRAME_INTS = {
    "version": (0, _MAX_INT),
    "sender": (0, _MAX_INT),
    "serial": (0, _MAX_INT),
    "stream_id": (0, _MAX_INT),
    "seq": (0, _MAX_INT),
    "pts_ns": (-_MAX_INT, _MAX_INT),
    "captured_ns": (-_MAX_INT, _MAX_INT),
    "format": (0, 255),
    "height": (1, MAX_SIDE),
    "width": (1, MAX_SIDE),
}
_MATTE_INTS = _FRAME_INTS | {
    "anchor_seq": (-1, _MAX_INT),
    "prompts_version": (0, _MAX_INT),
    "fill": (0, 255),
}
_FORMATS = {member.code: member for member in PixelFormat}
_FILL_FORMATS = {member.code: member for member in FILL_FORMATS}


class WireError(LinkError, ValueError):
    """Bytes that are no picture or command, or a picture that cannot be sent."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Which sending this is: a random sender, new with every link, and its running number."""

    sender: int
    serial: int


def encode_frame(frame: Frame, stamp: Stamp) -> bytes:
    """The header of a frame; WireError if the frame is too large or a field out of range."""
    header = _picture_header(frame.info, frame.pixels, stamp)
    _check_fields(header, _FRAME_INTS, frozenset())
    _check_pixel_bytes(header, "format", _FORMATS)
    return _packed(header, MAX_HEADER_BYTES)


def encode_matte(matte: Matte, stamp: Stamp) -> bytes:
    """The header of a matte; WireError if the matte is too large or a field out of range."""
    header = _picture_header(matte.info, matte.alpha, stamp)
    header["anchor_seq"] = int(matte.anchor_seq)
    header["age_ms"] = float(matte.age_ms)
    header["confidence"] = [float(c) for c in matte.confidence]
    header["prompts_version"] = int(matte.prompts_version)
    header["fill"] = matte.fill_format.code if matte.fill_format else 0
    _check_matte(header)
    _check_pixel_bytes(header, "format", _FORMATS)
    if header["fill"]:
        _check_pixel_bytes(header, "fill", _FILL_FORMATS)
    return _packed(header, MAX_HEADER_BYTES)


def decode_frame(header: Buffer, pixels: Buffer) -> tuple[Frame, Stamp]:
    """The frame, a view of the given pixels, and its stamp; WireError if anything is wrong."""
    fields = _unpacked(header, MAX_HEADER_BYTES, "a frame header")
    _check_fields(fields, _FRAME_INTS, frozenset())
    array = _array(fields, "format", _FORMATS, pixels)
    return Frame(info=_info(fields), pixels=array), _stamp(fields)


def decode_matte(header: Buffer, pixels: Buffer, fill: Buffer | None = None) -> tuple[Matte, Stamp]:
    """The matte, its alpha and fill views of what is given, and its stamp; WireError if
    anything is wrong."""
    fields = _unpacked(header, MAX_HEADER_BYTES, "a matte header")
    _check_matte(fields)
    if (fill is not None) != (fields["fill"] != 0):
        _reject(
            f"a fill as its header says ({fields['fill']}, 0 for none)",
            "none" if fill is None else f"one of {len(fill)} bytes",
        )
    matte = Matte(
        info=_info(fields),
        alpha=_array(fields, "format", _FORMATS, pixels),
        anchor_seq=fields["anchor_seq"],
        age_ms=float(fields["age_ms"]),
        confidence=tuple(float(c) for c in fields["confidence"]),
        prompts_version=fields["prompts_version"],
        fill=None if fill is None else _array(fields, "fill", _FILL_FORMATS, fill),
    )
    return matte, _stamp(fields)


def encode_command(command: Mapping[str, Any]) -> bytes:
    """A command or an answer as bytes; WireError if a value has no msgpack form."""
    return _packed(dict(command), MAX_COMMAND_BYTES)


def decode_command(body: Buffer) -> dict[str, Any]:
    """The command or answer in these bytes; WireError if they are none."""
    return _unpacked(body, MAX_COMMAND_BYTES, "a command")


def pixel_bytes(pixels: npt.NDArray[np.generic]) -> memoryview:
    """The bytes of the pixels, without a copy if they lie in C order."""
    return np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data


def _picture_header(
    info: FrameInfo, pixels: npt.NDArray[np.generic], stamp: Stamp
) -> dict[str, Any]:
    return {
        "version": WIRE_VERSION,
        "sender": stamp.sender,
        "serial": stamp.serial,
        "stream_id": int(info.stream_id),
        "seq": int(info.seq),
        "pts_ns": int(info.pts_ns),
        "captured_ns": int(info.captured_ns),
        "format": PixelFormat.of(pixels).code,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
    }


def _info(fields: dict[str, Any]) -> FrameInfo:
    return FrameInfo(
        stream_id=fields["stream_id"],
        seq=fields["seq"],
        pts_ns=fields["pts_ns"],
        captured_ns=fields["captured_ns"],
    )


def _stamp(fields: dict[str, Any]) -> Stamp:
    return Stamp(sender=fields["sender"], serial=fields["serial"])


def _array(
    fields: dict[str, Any], name: str, formats: dict[int, PixelFormat], pixels: Buffer
) -> npt.NDArray[np.generic]:
    """Pixels [H, W, C] over the buffer, of the format that the field of this name says; a
    copy only where its address suits no such dtype."""
    pixel_format, expected = _check_pixel_bytes(fields, name, formats)
    if len(pixels) != expected:
        _reject(
            f"{expected} bytes of pixels for {fields['width']}x{fields['height']} "
            f"{pixel_format.name.lower()}",
            f"{len(pixels)}",
        )
    array = np.frombuffer(pixels, pixel_format.dtype)
    if not array.flags.aligned:
        array = array.copy()
    return array.reshape(fields["height"], fields["width"], pixel_format.channels)


def _check_pixel_bytes(
    fields: dict[str, Any], name: str, formats: dict[int, PixelFormat]
) -> tuple[PixelFormat, int]:
    pixel_format = formats.get(fields[name])
    if pixel_format is None:
        _reject(f"{name} as a pixel format code of {sorted(formats)}", f"{fields[name]}")
    size = pixel_format.frame_bytes(fields["height"], fields["width"])
    if size > MAX_PIXEL_BYTES:
        _reject(f"a picture of at most {MAX_PIXEL_BYTES} bytes", f"{size}: make it smaller")
    return pixel_format, size


def _check_matte(fields: dict[str, Any]) -> None:
    _check_fields(fields, _MATTE_INTS, frozenset({"age_ms", "confidence"}))
    if not _is_number(fields["age_ms"]):
        _reject("age_ms as a finite number", _shown(fields["age_ms"]))
    confidence = fields["confidence"]
    if (
        not isinstance(confidence, list)
        or len(confidence) > MAX_CHANNELS
        or not all(_is_number(c) and 0 <= c <= 1 for c in confidence)
    ):
        _reject(f"confidence as up to {MAX_CHANNELS} numbers of 0 to 1", _shown(confidence))


def _check_fields(
    fields: dict[str, Any], ints: dict[str, tuple[int, int]], others: frozenset[str]
) -> None:
    version = fields.get("version")
    if version != WIRE_VERSION:
        _reject(f"version {WIRE_VERSION}", f"{_shown(version)}: update the older side")
    if fields.keys() != ints.keys() | others:
        odd = sorted(fields.keys() ^ (ints.keys() | others))
        _reject("exactly the known fields", f"missing or unknown {_shown(odd)}")
    for name, (low, high) in ints.items():
        value = fields[name]
        if type(value) is not int or not low <= value <= high:
            _reject(f"{name} as a whole number of {low} to {high}", _shown(value))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _packed(fields: dict[str, Any], most_bytes: int) -> bytes:
    try:
        body: bytes = msgpack.packb(fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(
            f"expected text, numbers, lists and maps to send; got {_shown(fields)} ({error})"
        ) from error
    if len(body) > most_bytes:
        _reject(f"at most {most_bytes} bytes to send", f"{len(body)}")
    return body


def _unpacked(body: Buffer, most_bytes: int, what: str) -> dict[str, Any]:
    if len(body) > most_bytes:
        _reject(f"{what} of at most {most_bytes} bytes", f"{len(body)}")
    try:
        fields = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            ext_hook=_refuse_extension,
            max_str_len=most_bytes,
            max_bin_len=0,
            max_array_len=_MAX_ITEMS,
            max_map_len=_MAX_ITEMS,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise WireError(
            f"expected {what} as a msgpack map; got {len(body)} other bytes ({error})"
        ) from error
    if not is_shallow(fields):
        _reject(f"{what} at most {MAX_DEPTH} deep", "a deeper one")
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        _reject(f"{what} as a msgpack map with text keys", _shown(fields))
    return fields


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code} of {len(data)} bytes")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


def _reject(expected: str, got: str) -> NoReturn:
    raise WireError(f"expected {expected}; got {got}")
