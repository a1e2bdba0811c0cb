"""Photographs put over others with a known soft alpha: what edges are measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte.sources.image import read_image
from promptmatte.sources.test_pictures import load_layer, scikit_photograph

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

GROUNDS = ("coffee.png", "rocket.jpg", "motorcycle_left.png")
LOOKS = ("plain", "hair", "blur")
BLUR_LINES = 30
"""Motion blur of this part of the height: 18 pixels of 540."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Composite:
    """pixels [H, W, 3]; alpha float32 [H, W], 0 to 1; colours float32 [H, W, 3], 0 to 255,
    those of the thing alone."""

    name: str
    pixels: Pixels
    alpha: Floats
    colours: Floats


def composites(size_hw: tuple[int, int], data: Path | None = None) -> Iterator[Composite]:
    """Two things, each plain, with drawn hair and with motion blur, over photographs, over
    one of their own mean colour, and both in the dark. data: a folder of more photographs."""
    pictures = {Path(name).stem: scikit_photograph(name) for name in GROUNDS}
    for path in sorted(data.glob("*.jpg"))[::40] if data else ():
        pictures[path.stem] = np.asarray(read_image(path).pixels, np.uint8)
    grounds = {name: _filled(picture, size_hw) for name, picture in pictures.items()}
    for photograph in ("astronaut", "chelsea"):
        for look in LOOKS:
            alpha, colours = _placed(photograph, size_hw, hair=look == "hair")
            for name, ground in grounds.items():
                yield _composite(f"{photograph} {look} {name}", look, colours, alpha, ground)
            mean = colours[alpha > 0.9].mean(axis=0)
            alike = mean + 0.25 * (grounds["rocket"] - grounds["rocket"].mean(axis=(0, 1)))
            yield _composite(f"{photograph} {look} alike", look, colours, alpha, alike)
            dark = 0.22 * colours, alpha, 0.18 * grounds["coffee"]
            yield _composite(f"{photograph} {look} dark", look, *dark)


def _composite(name: str, look: str, colours: Floats, alpha: Floats, ground: Floats) -> Composite:
    premultiplied = colours * alpha[..., np.newaxis]
    if look == "blur":
        alpha, premultiplied = _moved(alpha), _moved(premultiplied)
    noise = np.random.default_rng(1).normal(0, 2, ground.shape)
    pixels = premultiplied + (1 - alpha[..., np.newaxis]) * np.clip(ground, 0, 255) + noise
    own = premultiplied / np.maximum(alpha, 1e-3)[..., np.newaxis]
    return Composite(
        name=name,
        pixels=np.clip(pixels, 0, 255).astype(np.uint8),
        alpha=alpha,
        colours=own.astype(np.float32),
    )


def _placed(photograph: str, size_hw: tuple[int, int], *, hair: bool) -> tuple[Floats, Floats]:
    """Alpha and colours of a cut-out in the middle, the edge it is cut at outside."""
    layer = load_layer(photograph)
    height, width = size_hw
    scale = 1.05 * height / 540
    top = height - scale * (layer.alpha.shape[0] - 4) if photograph == "astronaut" else -2.0
    matrix = np.array([[scale, 0, (width - scale * layer.alpha.shape[1]) / 2], [0, scale, top]])
    alpha = cv2.warpAffine(layer.alpha, matrix, (width, height))
    colours = cv2.warpAffine(
        layer.colours, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    if hair:
        lowest = 0.32 * height if photograph == "astronaut" else height
        alpha = np.maximum(alpha, _strands(alpha, lowest))
    return alpha.astype(np.float32), colours.astype(np.float32)


def _strands(alpha: Floats, lowest: float) -> Floats:
    """Bent hairs a pixel wide that stand out from the outline above a line, alpha 0 to 1."""
    rng = np.random.default_rng(3)
    outlines, _ = cv2.findContours(
        (alpha > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    outline = max(outlines, key=len)[:, 0].astype(np.float64)
    smooth = cv2.GaussianBlur(alpha, (0, 0), 6)
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1))]
    covered = np.ones_like(alpha)
    for point in outline[rng.integers(len(outline), size=500)]:
        x, y = point.astype(int)
        if not 8 < y < lowest:
            continue
        angle = np.arctan2(-slopes[1][y, x], -slopes[0][y, x]) + rng.normal(0, 0.5)
        bend, step = rng.normal(0, 0.12), rng.uniform(0.03, 0.11) * len(alpha) / 12
        angles = angle + bend * np.arange(13)
        steps = step * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        hair = np.zeros(alpha.shape, np.uint8)
        places = np.round(16 * (point - steps[0] + np.cumsum(steps, axis=0))).astype(np.int32)
        cv2.polylines(hair, [places], False, int(rng.uniform(100, 255)), 1, cv2.LINE_AA, 4)
        covered *= 1 - hair / np.float32(255)
    return np.asarray(1 - covered, np.float32)


def _moved(values: Floats) -> Floats:
    """Blurred along a slanted line."""
    length = len(values) // BLUR_LINES
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    half = length / 2 * np.array([np.cos(0.6), np.sin(0.6)])
    start, end = (tuple(np.round(16 * (length + way * half)).astype(int)) for way in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, 4)
    blurred = cv2.filter2D(values, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def _filled(picture: Pixels, size_hw: tuple[int, int]) -> Floats:
    """The middle of the picture, just large enough."""
    height, width = size_hw
    scale = max(height / picture.shape[0], width / picture.shape[1])
    large_wh = int(np.ceil(picture.shape[1] * scale)), int(np.ceil(picture.shape[0] * scale))
    large = cv2.resize(picture, large_wh, interpolation=cv2.INTER_CUBIC)
    y, x = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return large[y : y + height, x : x + width].astype(np.float32)
