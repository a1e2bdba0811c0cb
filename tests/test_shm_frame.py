"""A matte's fill: what it may be, and what it may not."""

from dataclasses import replace

import numpy as np
import pytest
import shm_peer
from promptmatte_shm import FrameFormatError, PixelFormat


@pytest.mark.parametrize("pixel_format", [PixelFormat.RGB8, PixelFormat.RGBA8])
def test_a_fill_is_read_only_and_knows_its_format(pixel_format: PixelFormat) -> None:
    fill = np.zeros((6, 8, pixel_format.channels), np.uint8)
    matte = replace(shm_peer.matte(), fill=fill)
    assert matte.fill is fill
    assert matte.fill_format is pixel_format
    assert not fill.flags.writeable
    assert shm_peer.matte().fill_format is None


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *[((6, 8, 1), "uint8"), ((6, 8, 2), "uint8"), ((6, 8, 5), "uint8"), ((6, 8), "uint8")],
        *[((8, 6, 3), "uint8"), ((6, 7, 3), "uint8"), ((3, 4, 4), "uint8"), ((0, 8, 3), "uint8")],
        *[((6, 8, 4), "float16"), ((6, 8, 4), "float32"), ((6, 8, 3), "int8")],
    ],
)
def test_any_other_fill_is_refused(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(FrameFormatError, match=r"expected a fill of uint8 \[6, 8, 3 or 4\].*got"):
        replace(shm_peer.matte(), fill=np.zeros(shape, dtype))
