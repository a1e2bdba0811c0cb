"""Augmentation of training pictures: crops, light, blur, noise and compression."""

from __future__ import annotations

import random

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def random_crop(
    pixels: Pixels, labels: Pixels, size_hw: tuple[int, int], rng: random.Random
) -> tuple[Pixels, Pixels]:
    """A random part of a picture and its labels at a size, mirrored half of the time."""
    height, width = labels.shape
    aspect = size_hw[1] / size_hw[0] * rng.uniform(0.8, 1.25)
    crop_h, crop_w = (
        (height, height * aspect) if width > height * aspect else (width / aspect, width)
    )
    scale = rng.uniform(0.45, 1.0) if rng.random() < 0.7 else 1.0
    crop_h, crop_w = max(16, int(crop_h * scale)), max(16, int(crop_w * scale))
    top, left = rng.randint(0, max(0, height - crop_h)), rng.randint(0, max(0, width - crop_w))
    window = (slice(top, top + crop_h), slice(left, left + crop_w))
    size = (size_hw[1], size_hw[0])
    shrinks = crop_h > size_hw[0]
    pixels = cv2.resize(
        pixels[window], size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    labels = cv2.resize(labels[window], size, interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        pixels, labels = (
            np.ascontiguousarray(pixels[:, ::-1]),
            np.ascontiguousarray(labels[:, ::-1]),
        )
    return pixels, labels


def jittered(pixels: Pixels, rng: random.Random) -> Pixels:
    """The picture under other light: gain, gamma, tint, saturation; now and then a stage wash."""
    if rng.random() < 0.2:
        return pixels
    ramp = np.linspace(0, 1, 256, dtype=np.float32)
    gain, gamma, lift = rng.uniform(0.65, 1.35), rng.uniform(0.7, 1.5), rng.uniform(-0.06, 0.06)
    tint = [rng.uniform(0.9, 1.1) for _ in range(3)]
    if rng.random() < 0.06:
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
