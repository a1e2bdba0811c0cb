"""Frames, mattes and the one table of pixel formats both sides share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from promptmatte_shm.errors import FrameFormatError

MAX_CHANNELS = 4
"""Prompts a matte carries at most: one alpha channel each."""


class PixelFormat(Enum):
    """A pixel layout: wire code, numpy dtype and channel count."""

    GRAY8 = (1, "uint8", 1)
    RGB8 = (2, "uint8", 3)
    RGBA8 = (3, "uint8", 4)
    RGBA16F = (4, "float16", 4)
    RGBA32F = (5, "float32", 4)

    def __init__(self, code: int, dtype: str, channels: int) -> None:
        self.code = code
        self.dtype: np.dtype[np.generic] = np.dtype(dtype)
        self.channels = channels

    def frame_bytes(self, height: int, width: int) -> int:
        """Bytes of one picture of this format."""
        return height * width * self.channels * self.dtype.itemsize

    @classmethod
    def from_code(cls, code: int) -> PixelFormat:
        """The format with this wire code; FrameFormatError for an unknown one."""
        for member in cls:
            if member.code == code:
                return member
        known = ", ".join(f"{m.code}={m.name.lower()}" for m in cls)
        raise FrameFormatError(f"expected a pixel format code of {known}; got {code}")

    @classmethod
    def of(cls, pixels: npt.NDArray[np.generic]) -> PixelFormat:
        """The format of an [H, W, C] array; FrameFormatError if there is none."""
        if pixels.ndim == 3:
            for member in cls:
                if pixels.dtype == member.dtype and pixels.shape[2] == member.channels:
                    return member
        known = ", ".join(f"{m.name.lower()} ({m.dtype} x{m.channels})" for m in cls)
        raise FrameFormatError(
            f"expected [height, width, channels] pixels of {known}; "
            f"got shape {pixels.shape} of {pixels.dtype}"
        )


FILL_FORMATS = (PixelFormat.RGB8, PixelFormat.RGBA8)
"""What a matte's fill may be."""


@dataclass(frozen=True, kw_only=True)
class FrameInfo:
    """Which frame this is, apart from its pixels.

    stream_id: changes when the source is reopened (63-bit); seq: counts up within
    a stream; pts_ns: presentation time in the source; captured_ns: monotonic clock
    of the capturing machine when the pixels arrived.
    """

    stream_id: int
    seq: int
    pts_ns: int
    captured_ns: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture: info and read-only pixels [H, W, C], rows top-down, RGB order."""

    info: FrameInfo
    pixels: npt.NDArray[np.generic]

    def __post_init__(self) -> None:
        PixelFormat.of(self.pixels)
        if 0 in self.pixels.shape:
            raise FrameFormatError(f"expected a picture with pixels; got {self.pixels.shape}")
        self.pixels.flags.writeable = False

    @property
    def format(self) -> PixelFormat:
        """The pixel format."""
        return PixelFormat.of(self.pixels)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Matte:
    """The alpha of one frame, under that frame's own identity.

    alpha: [H, W, C], read-only, usually uint8 with C = 1 (one prompt) or 4 (two to
    four prompts, a channel each, unused ones 0). anchor_seq: seq of the encoded
    frame it was propagated from (-1: none yet). age_ms: capture of the anchor to
    capture of this frame. confidence: one value 0..1 a prompt (0: nothing matches).
    prompts_version: the PromptSet it shows.

    fill: the picture that goes with the key, of the same height and width, read-only:
    uint8 [H, W, 3], the matte's own frame, straight; or uint8 [H, W, 4], the foreground
    premultiplied with the alpha it carries; None when only the alpha was asked for.
    """

    info: FrameInfo
    alpha: npt.NDArray[np.generic]
    anchor_seq: int
    age_ms: float
    confidence: tuple[float, ...]
    prompts_version: int
    fill: npt.NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        PixelFormat.of(self.alpha)
        if 0 in self.alpha.shape:
            raise FrameFormatError(f"expected an alpha with pixels; got {self.alpha.shape}")
        if len(self.confidence) > MAX_CHANNELS:
            raise FrameFormatError(
                f"expected at most {MAX_CHANNELS} confidences; got {len(self.confidence)}"
            )
        self.alpha.flags.writeable = False
        if self.fill is not None:
            self._check_fill(self.fill)
            self.fill.flags.writeable = False

    def _check_fill(self, fill: npt.NDArray[np.generic]) -> None:
        height, width = self.size_hw
        if fill.dtype != np.uint8 or fill.shape not in ((height, width, 3), (height, width, 4)):
            raise FrameFormatError(
                f"expected a fill of uint8 [{height}, {width}, 3 or 4] for its alpha; "
                f"got shape {fill.shape} of {fill.dtype}"
            )

    @property
    def format(self) -> PixelFormat:
        """The pixel format of the alpha."""
        return PixelFormat.of(self.alpha)

    @property
    def fill_format(self) -> PixelFormat | None:
        """The pixel format of the fill; None without one."""
        return None if self.fill is None else PixelFormat.of(self.fill)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.alpha.shape[0], self.alpha.shape[1]
