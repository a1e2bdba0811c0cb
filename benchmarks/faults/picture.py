"""Pictures that follow from their number alone, so that a reader knows each of their bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from promptmatte_shm import Frame, FrameInfo, Matte, PixelFormat

MATTE_HW = (256, 256)
SPREAD = 0x9E37_79B9_7F4A_7C15
WORD = 2**64 - 1

SIZES_HW = ((96, 160), (120, 160), (90, 124), (64, 64), (144, 256), (97, 131))
FORMATS = tuple(PixelFormat)
STEADY_FRAMES = 30
BLOCK_PX, BLOCKS = 4, 16

Pixels = npt.NDArray[Any]


def matte_of(seq: int, info: FrameInfo, size_hw: tuple[int, int] = MATTE_HW) -> Matte:
    """The matte of this number: alpha in four channels, and every other time a fill."""
    return Matte(
        info=info, alpha=_noise(seq, size_hw, 4), anchor_seq=seq - 1, age_ms=1.5,
        confidence=(0.25, 1.0), prompts_version=3,
        fill=_noise(seq + 1, size_hw, 3) if seq % 2 else None,
    )  # fmt: skip


def fault_of_matte(matte: Matte, number: int | None = None) -> str | None:
    """What is not as `matte_of` made it; number: what it was made of, its own seq by itself."""
    seq = matte.info.seq if number is None else number
    wanted = matte_of(seq, matte.info, matte.size_hw)
    if (matte.fill is None) != (wanted.fill is None):
        return f"matte {matte.info.seq}: a fill too much or too few"
    if not np.array_equal(matte.alpha, wanted.alpha):
        return f"matte {matte.info.seq}: another's alpha, or torn"
    if wanted.fill is not None and not np.array_equal(matte.fill, wanted.fill):
        return f"matte {matte.info.seq}: another's fill, or torn"
    return None


def _noise(seq: int, size_hw: tuple[int, int], channels: int) -> Pixels:
    """Bytes of which every eight tell number and place."""
    count = size_hw[0] * size_hw[1] * channels
    words = _places(-(-count // 8)) + np.uint64(seq * SPREAD & WORD)
    return words.view(np.uint8)[:count].reshape(*size_hw, channels)


@lru_cache(maxsize=16)
def _places(count: int) -> npt.NDArray[np.uint64]:
    return np.arange(count, dtype=np.uint64) * np.uint64(SPREAD ^ 0x5555)


def scene(seq: int, info: FrameInfo, every: int) -> Frame:
    """The frame of this number: a still picture whose brightness and row of blocks tell the
    number. Size and format change with every so many frames, or never with 0; with 1 they change
    with each frame of a second and stay for the next second."""
    turn = seq // every if every else 0
    if every == 1 and seq // STEADY_FRAMES % 2:
        turn = seq // STEADY_FRAMES
    size_hw = SIZES_HW[turn % len(SIZES_HW)]
    form = FORMATS[turn % len(FORMATS)] if every else PixelFormat.RGB8
    levels = _still(size_hw) + np.uint8(seq * 5 % 32)
    for bit in range(BLOCKS):
        levels[:BLOCK_PX, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = 255 * (seq >> bit & 1)
    pixels = levels[..., : form.channels]
    if form.dtype.kind == "f":
        pixels = pixels.astype(form.dtype) / 255
    return Frame(info=info, pixels=np.ascontiguousarray(pixels))


@lru_cache(maxsize=16)
def _still(size_hw: tuple[int, int]) -> Pixels:
    """Soft blobs, uint8 [H, W, 4], 20 to 220."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] / 9.0
    planes = [np.sin(x / scale) * np.cos(y * scale / 2) for scale in (1.0, 1.7, 2.3, 3.1)]
    return (120 + 100 * np.dstack(planes)).astype(np.uint8)
