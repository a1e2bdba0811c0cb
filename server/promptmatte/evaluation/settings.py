"""What a live evaluation simulates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from promptmatte.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """What is simulated; ConfigError. fps: frames a second (1 to 240); encode_hz: keyframes
    a second at most (0.1 to 120); encode_ms: from a frame to its anchor (0 to 10,000)."""

    fps: float = 30.0
    encode_hz: float = 5.0
    encode_ms: float = 120.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("fps", 1.0, 240.0),
            ("encode_hz", 0.1, 120.0),
            ("encode_ms", 0.0, 10_000.0),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"expected {name} of {low:g} to {high:g}; got {value:g}")

    @property
    def encode_ns(self) -> int:
        """encode_ms in nanoseconds."""
        return round(self.encode_ms * 1e6)

    @property
    def fresh_ns(self) -> int:
        """The age up to which an anchor is not stale: a period, an encode and a frame."""
        return round(1e9 / self.encode_hz + 1e9 / self.fps) + self.encode_ns
