"""Picture sizes as people type them."""

from __future__ import annotations

from promptmatte.errors import ConfigError, shown

LEAST_PX = 16
MOST_PX = 8192


def parsed_size(text: str) -> tuple[int, int]:
    """(height, width) of 1920x1080; ConfigError."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()) or not all(
        LEAST_PX <= int(side[:9]) <= MOST_PX for side in (width, height)
    ):
        raise ConfigError(
            f"expected a size such as 960x540, sides of {LEAST_PX} to {MOST_PX} pixels; "
            f"got {shown(text)}"
        )
    return int(height), int(width)


def size_text(size_hw: tuple[int, int]) -> str:
    """1920x1080 of (1080, 1920)."""
    return f"{size_hw[1]}x{size_hw[0]}"
