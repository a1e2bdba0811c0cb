"""Pixel formats of textures. TOP Class, pixelFormat; Common Page, Pixel Format."""

from __future__ import annotations

import numpy as np

from .errors import refuse

KINDS = {
    "rgba": "RGBA", "rgb": "RGB", "rg": "RG", "monoalpha": "Mono+Alpha", "mono": "Mono",
}  # fmt: skip
DEPTHS = {
    "8fixed": "8-bit fixed", "16fixed": "16-bit fixed", "16float": "16-bit float",
    "32float": "32-bit float",
}  # fmt: skip
MAXIMA = {"8fixed": 255, "16fixed": 65535}
LABELS = {kind + depth: f"{DEPTHS[depth]} ({KINDS[kind]})" for kind in KINDS for depth in DEPTHS}
SCALES = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float32): 1.0}
"""Accepted types of copyNumpyArray and what stands for 1.0. scriptTOP Class."""

_PREFIXES = {1: "mono", 2: "rg", 3: "rgba", 4: "rgba"}
_ENDINGS = {
    np.dtype(np.uint8): "8fixed", np.dtype(np.uint16): "16fixed", np.dtype(np.float32): "32float",
}  # fmt: skip


def format_of(array: np.ndarray) -> str:
    """Menu name of the format that an array [h, w, 1 to 4] is kept in."""
    return _PREFIXES[array.shape[2]] + _ENDINGS[array.dtype]


def parts(pixel_format: str) -> tuple[str, str]:
    """(channels, depth) of a menu name; refuses the formats that are not here."""
    kind = pixel_format.rstrip("abcdefghijklmnopqrstuvwxyz").rstrip("0123456789")
    depth = pixel_format.removeprefix(kind)
    if kind not in KINDS or depth not in DEPTHS:
        refuse(f"the stand-in has no textures of the format {pixel_format}")
    return kind, depth


def conform(picture: np.ndarray, pixel_format: str) -> np.ndarray:
    """A picture as a texture of a format keeps and shows it."""
    kind, depth = parts(pixel_format)
    out = picture.copy()
    if depth in MAXIMA:
        top = np.float32(MAXIMA[depth])
        np.clip(out, 0, 1, out=out)
        np.multiply(out, top, out=out)
        np.rint(out, out=out)
        np.divide(out, top, out=out)
    elif depth == "16float":
        out = out.astype(np.float16).astype(np.float32)
    if kind in ("mono", "monoalpha"):
        out[..., 1:3] = out[..., :1]
    if kind == "rg":
        out[..., 2] = 0
    if kind in ("mono", "rg", "rgb"):
        out[..., 3] = 1
    return out


def stored(picture: np.ndarray, pixel_format: str) -> np.ndarray:
    """The bytes of a texture, [h, w, channels]; refuses formats of unclear layout."""
    kind, depth = parts(pixel_format)
    if kind not in ("rgba", "rg", "mono"):
        refuse(f"how {pixel_format} lies in memory is not documented")
    channels = picture[..., : {"rgba": 4, "rg": 2, "mono": 1}[kind]]
    dtype = {"8fixed": "u1", "16fixed": "u2", "16float": "f2", "32float": "f4"}[depth]
    return (
        np.rint(channels * MAXIMA.get(depth, 1)).astype(dtype)
        if depth in MAXIMA
        else (channels.astype(dtype))
    )


def to_rgba(array: np.ndarray) -> np.ndarray:
    """float32 [h, w, 4] of an array [h, w, 1 to 4].

    Mono: RGB have the one value, alpha is 1; RG: blue is 0, alpha 1 (Pixel Format); three
    channels: alpha 1.
    """
    height, width, channels = array.shape
    out = np.empty((height, width, 4), np.float32)
    scale = np.float32(1 / SCALES[array.dtype])
    if channels == 1:
        np.multiply(array, scale, out=out[..., :3], casting="unsafe")
    else:
        np.multiply(array, scale, out=out[..., :channels], casting="unsafe")
        out[..., channels:3] = 0
    if channels < 4:
        out[..., 3] = 1
    return out
