"""What the benchmark of the links sends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptmatte.bench.size import size_text
from promptmatte.frame import FrameInfo, Matte, PixelFormat

Arrays = list[npt.NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Load:
    """Mattes of noise: their size, the format of the alpha and, if they have one, of the fill."""

    size_hw: tuple[int, int]
    alpha: PixelFormat = PixelFormat.GRAY8
    fill: PixelFormat | None = None

    @property
    def name(self) -> str:
        """Its formats, e.g. gray8+rgb8."""
        return self.alpha.name.lower() + (f"+{self.fill.name.lower()}" if self.fill else "")

    @property
    def size(self) -> str:
        """Its size, e.g. 960x540."""
        return size_text(self.size_hw)

    @property
    def byte_count(self) -> int:
        """Bytes of pixels."""
        return sum(kind.frame_bytes(*self.size_hw) for kind in (self.alpha, self.fill) if kind)

    def arrays(self) -> Arrays:
        """The alpha and, if there is one, the fill [H, W, C]; the same in every process."""
        rng = np.random.default_rng(0)
        return [
            rng.integers(0, 256, (*self.size_hw, kind.channels), np.uint8)
            for kind in (self.alpha, self.fill)
            if kind
        ]

    def matte(self, arrays: Arrays, *, seq: int, stamp_ns: int) -> Matte:
        """These arrays as a matte that was captured at the stamp."""
        return Matte(
            info=FrameInfo(stream_id=1, seq=seq, pts_ns=0, captured_ns=stamp_ns),
            alpha=arrays[0],
            fill=arrays[1] if self.fill else None,
            anchor_seq=0,
            age_ms=0.0,
            confidence=(1.0,) * self.alpha.channels,
            prompts_version=1,
        )
