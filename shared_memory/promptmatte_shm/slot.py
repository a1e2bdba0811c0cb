"""What a ring slot says about its pixels, as fixed binary fields."""

from __future__ import annotations

import math
import struct
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from promptmatte_shm.errors import FrameFormatError, LayoutError
from promptmatte_shm.frame import (
    FILL_FORMATS,
    MAX_CHANNELS,
    Frame,
    FrameInfo,
    Matte,
    PixelFormat,
)
from promptmatte_shm.segment import aligned, sealed, unsealed

_FIELDS = struct.Struct(f"<5q5IQ2qd{MAX_CHANNELS}d")
_FORMATS = {member.code: member for member in PixelFormat}
_FILL_FORMATS = {0: None, **{member.code: member for member in FILL_FORMATS}}
HEADER_BYTES = _FIELDS.size + 4


@dataclass(slots=True, kw_only=True)
class SlotHeader:
    """Identity, size and formats of a picture; a matte's own fields are empty for a frame.

    Made and dropped within one call, so not frozen: that would cost 1.5 us a picture.
    """

    info: FrameInfo
    height: int
    width: int
    format: PixelFormat
    published_ns: int
    anchor_seq: int = -1
    prompts_version: int = 0
    age_ms: float = 0.0
    confidence: tuple[float, ...] = ()
    fill_format: PixelFormat | None = None

    @classmethod
    def of_frame(cls, frame: Frame) -> SlotHeader:
        """The header of a frame published now."""
        height, width = frame.size_hw
        return cls(
            info=frame.info,
            height=height,
            width=width,
            format=frame.format,
            published_ns=time.monotonic_ns(),
        )

    @classmethod
    def of_matte(cls, matte: Matte) -> SlotHeader:
        """The header of a matte published now."""
        height, width = matte.size_hw
        return cls(
            info=matte.info,
            height=height,
            width=width,
            format=matte.format,
            published_ns=time.monotonic_ns(),
            anchor_seq=matte.anchor_seq,
            prompts_version=matte.prompts_version,
            age_ms=matte.age_ms,
            confidence=matte.confidence,
            fill_format=matte.fill_format,
        )

    @property
    def fill_at(self) -> int:
        """Where the fill begins, in bytes after the pixels' first: on a line of its own."""
        return aligned(self.format.frame_bytes(self.height, self.width))

    @property
    def byte_size(self) -> int:
        """Bytes of the pixels and, behind them, of the fill."""
        if self.fill_format is None:
            return self.format.frame_bytes(self.height, self.width)
        return self.fill_at + self.fill_format.frame_bytes(self.height, self.width)

    def pack(self) -> bytes:
        """The fields as bytes; FrameFormatError if a value cannot be carried."""
        if not math.isfinite(self.age_ms + sum(self.confidence)):
            raise FrameFormatError(
                f"expected a finite age_ms and confidence; got {self.age_ms}, {self.confidence}"
            )
        confidence = self.confidence + (0.0,) * (MAX_CHANNELS - len(self.confidence))
        try:
            fields = _FIELDS.pack(
                self.info.stream_id,
                self.info.seq,
                self.info.pts_ns,
                self.info.captured_ns,
                self.published_ns,
                self.width,
                self.height,
                self.format.code,
                len(self.confidence),
                self.fill_format.code if self.fill_format else 0,
                self.byte_size,
                self.anchor_seq,
                self.prompts_version,
                self.age_ms,
                *confidence,
            )
        except struct.error as error:
            raise FrameFormatError(
                f"expected whole numbers of at most 63 bits; got {self.info}, "
                f"anchor_seq {self.anchor_seq}, prompts_version {self.prompts_version}: {error}"
            ) from error
        return sealed(fields)

    @classmethod
    def unpack(cls, record: bytes, slot_bytes: int) -> SlotHeader:
        """The header in these bytes; LayoutError unless every field makes sense."""
        fields = unsealed(record)
        if fields is None:
            raise LayoutError("expected a slot header with its checksum; got damaged bytes")
        stream_id, seq, pts_ns, captured_ns, published_ns, *rest = _FIELDS.unpack(fields)
        width, height, code, count, fill_code, byte_size, *rest = rest
        anchor_seq, version, age_ms, *values = rest
        if code not in _FORMATS or fill_code not in _FILL_FORMATS:
            raise LayoutError(
                f"expected a pixel format code of {list(_FORMATS)} and a fill's of "
                f"{list(_FILL_FORMATS)}; got {code} and {fill_code}"
            )
        header = cls(
            info=FrameInfo(stream_id=stream_id, seq=seq, pts_ns=pts_ns, captured_ns=captured_ns),
            height=height,
            width=width,
            format=_FORMATS[code],
            published_ns=published_ns,
            anchor_seq=anchor_seq,
            prompts_version=version,
            age_ms=age_ms,
            confidence=tuple(values[:count]),
            fill_format=_FILL_FORMATS[fill_code],
        )
        fits = height * width > 0 and header.byte_size == byte_size <= slot_bytes
        if not (fits and count <= MAX_CHANNELS):
            raise LayoutError(
                f"expected a picture of at most {slot_bytes} bytes and {MAX_CHANNELS} "
                f"confidences; got {width}x{height}, {byte_size} bytes, {count} confidences"
            )
        if not math.isfinite(age_ms + sum(values)):
            raise LayoutError(f"expected finite numbers; got {age_ms}, {values}")
        return header

    def frame(self, pixels: npt.NDArray[np.generic]) -> Frame:
        """The frame of these pixels."""
        return Frame(info=self.info, pixels=pixels)

    def matte(self, alpha: npt.NDArray[np.generic], fill: npt.NDArray[np.generic] | None) -> Matte:
        """The matte of this alpha and fill."""
        return Matte(
            info=self.info,
            alpha=alpha,
            anchor_seq=self.anchor_seq,
            age_ms=self.age_ms,
            confidence=self.confidence,
            prompts_version=self.prompts_version,
            fill=fill,
        )

    def pixels_in(self, view: memoryview, offset: int) -> npt.NDArray[Any]:
        """The pixels, which begin here, as an array [H, W, C] that looks into the view."""
        return self._array(view, offset, self.format)

    def fill_in(self, view: memoryview, offset: int) -> npt.NDArray[Any] | None:
        """The fill beside the pixels that begin here, in the same way; None without one."""
        if self.fill_format is None:
            return None
        return self._array(view, offset + self.fill_at, self.fill_format)

    def _array(self, view: memoryview, offset: int, kind: PixelFormat) -> npt.NDArray[Any]:
        count = self.height * self.width * kind.channels
        flat = np.frombuffer(view, kind.dtype, count, offset)
        return flat.reshape(self.height, self.width, kind.channels)
