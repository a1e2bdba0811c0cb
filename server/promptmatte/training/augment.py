"""Augmentation of training pictures: crops, light, blur, noise and compression."""

from __future__ import annotations

import random

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


Window = tuple[int, int, int, int]
"""Top, left, height and width of a part of a picture, in pixels."""


def random_window(shape: tuple[int, ...], aspect: float, rng: random.Random) -> Window:
    """A random part of a picture of a shape, width / height near aspect: 45 to 100 % of it."""
    height, width = shape[:2]
    whole = _fitting(height, width, aspect)
    scale = rng.uniform(0.45, 1.0) if rng.random() < 0.7 else 1.0
    crop_h, crop_w = max(16, int(whole[0] * scale)), max(16, int(whole[1] * scale))
    return (
        rng.randint(0, max(0, height - crop_h)), rng.randint(0, max(0, width - crop_w)),
        min(crop_h, height), min(crop_w, width),
    )  # fmt: skip


def window_around(mask: npt.NDArray[np.bool_], aspect: float, rng: random.Random) -> Window:
    """A random part of a picture that shows most of a thing, large or small; mask not empty."""
    height, width = mask.shape
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA].astype(float)
    piece = rng.choices(range(1, count), list(areas**0.5))[0]
    left, top, box_w, box_h = (int(v) for v in stats[piece, :4])
    whole = _fitting(height, width, aspect)
    needed = max(box_h / whole[0], box_w / whole[1])
    scale = min(1.0, max(0.15, needed * rng.uniform(1.1, 4.0)))
    crop_h, crop_w = max(16, int(whole[0] * scale)), max(16, int(whole[1] * scale))
    centre_y = top + box_h / 2 + rng.uniform(-0.3, 0.3) * crop_h
    centre_x = left + box_w / 2 + rng.uniform(-0.3, 0.3) * crop_w
    return (
        int(min(max(0, centre_y - crop_h / 2), max(0, height - crop_h))),
        int(min(max(0, centre_x - crop_w / 2), max(0, width - crop_w))),
        min(crop_h, height), min(crop_w, width),
    )  # fmt: skip


def _fitting(height: int, width: int, aspect: float) -> tuple[float, float]:
    """The largest part of an aspect that fits."""
    return (height, height * aspect) if width > height * aspect else (width / aspect, width)


def cut(
    pixels: Pixels,
    window: Window,
    size_hw: tuple[int, int],
    *,
    mirror: bool = False,
    nearest: bool = False,
) -> Pixels:
    """A part of a picture, or of labels (nearest), at a size."""
    top, left, height, width = window
    if nearest:
        how = cv2.INTER_NEAREST
    else:
        how = cv2.INTER_AREA if height > size_hw[0] else cv2.INTER_LINEAR
    part = cv2.resize(
        pixels[top : top + height, left : left + width], (size_hw[1], size_hw[0]), interpolation=how
    )
    return np.ascontiguousarray(part[:, ::-1] if mirror else part)


def random_crop(
    pixels: Pixels, labels: Pixels, size_hw: tuple[int, int], rng: random.Random
) -> tuple[Pixels, Pixels]:
    """A random part of a picture and its labels at a size, mirrored half of the time."""
    aspect = size_hw[1] / size_hw[0] * rng.uniform(0.8, 1.25)
    window = random_window(labels.shape, aspect, rng)
    mirror = rng.random() < 0.5
    return (
        cut(pixels, window, size_hw, mirror=mirror),
        cut(labels, window, size_hw, mirror=mirror, nearest=True),
    )


PAINTS = ((0, 4), (12, 5), (27, 4), (60, 15), (110, 12), (140, 8), (160, 7))
"""Hues to paint things with, and how far around each, in OpenCV's half degrees: red, orange,
yellow, green, blue, purple, pink."""


def recoloured(pixels: Pixels, mask: npt.NDArray[np.bool_], rng: random.Random) -> Pixels:
    """The picture with what is under the mask in another strong colour, its shading kept."""
    hue, around = rng.choice(PAINTS)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    hsv = cv2.cvtColor(np.ascontiguousarray(pixels[window]), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = int(hue + rng.uniform(-around, around)) % 180
    hsv[..., 1] = np.maximum(hsv[..., 1] // 2, 1) + np.uint8(rng.randint(95, 127))
    lift = max(0, 150 - int(hsv[..., 2][mask[window]].mean()))
    hsv[..., 2] = np.minimum(hsv[..., 2].astype(np.int16) + lift, 255)
    soft = cv2.GaussianBlur(mask[window].astype(np.float32), (0, 0), 0.8)[..., None]
    painted = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    out = pixels.copy()
    out[window] = out[window] + soft * (painted.astype(np.float32) - out[window])
    return out


def jittered(pixels: Pixels, rng: random.Random) -> Pixels:
    """The picture under other light: gain, gamma, tint, saturation; now and then a stage wash."""
    if rng.random() < 0.2:
        return pixels
    ramp = np.linspace(0, 1, 256, dtype=np.float32)
    gain, gamma, lift = rng.uniform(0.65, 1.35), rng.uniform(0.7, 1.5), rng.uniform(-0.06, 0.06)
    tint = [rng.uniform(0.9, 1.1) for _ in range(3)]
    if rng.random() < 0.08:
        tint = [rng.uniform(0.35, 1.2) for _ in range(3)]
    table = np.stack([np.clip(ramp**gamma * gain * t + lift, 0, 1) for t in tint], axis=-1)
    out = cv2.LUT(pixels, (table * 255).astype(np.uint8).reshape(1, 256, 3))
    if rng.random() < 0.5:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        amount = rng.uniform(0.5, 1.4) if rng.random() < 0.9 else 0.0
        out = cv2.addWeighted(out, amount, grey, 1 - amount, 0)
    return np.asarray(out, np.uint8)


def degraded(pixels: Pixels, rng: random.Random) -> Pixels:
    """The picture as a worse camera sees it: blur, motion blur, noise, compression."""
    out = pixels
    draw = rng.random()
    if draw < 0.12:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.6))
    elif draw < 0.2:
        length = rng.choice((3, 5, 7, 9))
        kernel = np.zeros((length, length), np.float32)
        if rng.random() < 0.5:
            kernel[length // 2] = 1 / length
        else:
            kernel[:, length // 2] = 1 / length
        out = cv2.filter2D(out, -1, kernel)
    if rng.random() < 0.25:
        noise = np.empty(out.shape, np.int16)
        cv2.setRNGSeed(rng.getrandbits(31))
        cv2.randn(noise, 0, rng.uniform(2, 12))
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        _, coded = cv2.imencode(
            ".jpg", np.ascontiguousarray(out), [cv2.IMWRITE_JPEG_QUALITY, rng.randint(25, 80)]
        )
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return out
