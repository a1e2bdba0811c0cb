"""Settings of the engine, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from promptmatte.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """How a pipeline works; ConfigError for a value out of range.

    flow_side_px: longer side of the picture that masks are carried on (64 to 1920).
    history_frames: frames a keyframe may be late before it is held (2 to 600).
    correction_hz: corrections of carried masks a second at most (from 1; math.inf for one of
    every frame); what lies between is carried on: at 60 frames a second, every other frame.
    retry_s: first and longest wait before a lost source is opened again.
    """

    flow_side_px: int = 240
    history_frames: int = 32
    correction_hz: float = 40.0
    retry_s: tuple[float, float] = (0.5, 8.0)

    def __post_init__(self) -> None:
        _check_whole("flow_side_px", self.flow_side_px, 64, 1920)
        _check_whole("history_frames", self.history_frames, 2, 600)
        if not self.correction_hz >= 1.0:
            raise ConfigError(f"expected correction_hz from 1; got {self.correction_hz!r}")
        if len(self.retry_s) != 2 or not 0.0 < self.retry_s[0] <= self.retry_s[1] <= 3600.0:
            raise ConfigError(
                "expected retry_s as first and longest wait, 0 < first <= longest <= 3600; "
                f"got {self.retry_s}"
            )


def _check_whole(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"expected {name} as a whole number of {low} to {high}; got {value!r}")
