"""A small look at the newest matte and its frame, for surfaces that must not weigh on the show."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.frame import Frame, Matte

DEFAULT_SIDE = 384
SIDES = (64, 640)
"""Least and most of the longer side in pixels."""

MAX_BYTES = 40_000
"""Of both JPEGs: as text in JSON they go through the 64 KiB of a shared-memory mailbox."""

QUALITIES = (80, 60, 35, 15)

Picture = npt.NDArray[np.uint8]


def preview_of(frame: Frame, matte: Matte, side: int) -> dict[str, Any]:
    """The frame and its mattes at a longer side of at most `side` pixels, as JSON values.

    size: [height, width] of the frame. shown: those of the small pictures. picture: a JPEG
    in base64. mattes: a grey JPEG in base64, the mattes of the prompts one under the other;
    None without a prompt. seq, prompts_version and age_ms: the matte's.
    """
    height, width = frame.size_hw
    scale = min(1.0, side / max(height, width))
    while True:
        small_hw = max(1, round(height * scale)), max(1, round(width * scale))
        alpha = np.asarray(matte.alpha)[..., : len(matte.confidence)]
        stacked = [_shrunk(alpha[..., channel], small_hw) for channel in range(alpha.shape[2])]
        mattes = _jpeg_within(np.concatenate(stacked), MAX_BYTES // 2) if stacked else b""
        picture = _shrunk(np.asarray(frame.pixels)[..., ::-1], small_hw)
        jpeg = _jpeg_within(picture, MAX_BYTES - len(mattes or ()))
        if mattes is not None and jpeg is not None:
            break
        scale *= 0.7  # noise, which no JPEG makes small
    return {
        "seq": matte.info.seq,
        "size": [height, width],
        "shown": list(small_hw),
        "prompts_version": matte.prompts_version,
        "age_ms": round(matte.age_ms, 2),
        "picture": _text(jpeg),
        "mattes": _text(mattes) if mattes else None,
    }


def _shrunk(pixels: npt.NDArray[Any], size_hw: tuple[int, int]) -> Picture:
    """uint8 pixels at this size; of a large picture only every n-th is looked at, which takes
    less of the time that the show needs."""
    step = max(1, pixels.shape[0] // (2 * size_hw[0]))
    thinned = np.ascontiguousarray(pixels[::step, ::step], np.uint8)
    return np.asarray(cv2.resize(thinned, size_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg_within(pixels: Picture, most_bytes: int) -> bytes | None:
    """The best JPEG that fits; None where even a poor one does not."""
    for quality in QUALITIES:
        jpeg = bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
        if len(jpeg) <= most_bytes:
            return jpeg
    return None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
