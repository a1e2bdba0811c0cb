"""The one conversion to rgb8."""

from __future__ import annotations

import numpy as np
import pytest
from promptmatte.frame import Frame, FrameInfo
from promptmatte.sources import as_rgb8

INFO = FrameInfo(stream_id=5, seq=6, pts_ns=7, captured_ns=8)


def test_rgb8_is_handed_on_as_it_is() -> None:
    frame = Frame(info=INFO, pixels=np.zeros((3, 5, 3), np.uint8))
    assert as_rgb8(frame) is frame


def test_grey_and_rgba_become_rgb() -> None:
    grey = np.arange(15, dtype=np.uint8).reshape(3, 5, 1)
    converted = as_rgb8(Frame(info=INFO, pixels=grey))
    assert converted.info is INFO
    assert (converted.pixels == np.repeat(grey, 3, axis=2)).all()
    rgba = np.arange(60, dtype=np.uint8).reshape(3, 5, 4)
    assert (as_rgb8(Frame(info=INFO, pixels=rgba)).pixels == rgba[..., :3]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_floats_are_clipped_and_never_nan(dtype: type) -> None:
    pixels = np.zeros((1, 4, 4), dtype)
    pixels[0, :, :3] = [
        [0, 0.5, 1],
        [-3, 7, np.nan],
        [np.inf, -np.inf, np.nan],
        [0.125, 0.25, 0.75],
    ]
    pixels[..., 3] = np.nan
    frame = Frame(info=INFO, pixels=pixels)
    converted = as_rgb8(frame).pixels
    assert converted.dtype == np.uint8
    assert converted.tolist() == [[[0, 128, 255], [0, 255, 0], [255, 0, 0], [32, 64, 191]]]
    assert np.isnan(frame.pixels[0, 1, 2])  # the sender's pixels are left alone
