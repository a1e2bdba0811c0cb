"""What the card makes of pictures, with torch on the CPU."""

import numpy as np
import pytest
import torch
from cuda_peer import info, lying
from promptmatte.errors import LinkError
from promptmatte.frame import Frame, PixelFormat
from promptmatte.links.cuda_copier import TorchCopier, _CudaArray, lay_out, rgb8_of
from promptmatte.sources import as_rgb8
from promptmatte_shm.cuda_ring import ChannelOrder, PixelLayout, Plane, RowOrder

LAYOUTS = [PixelLayout(channels=c, rows=r) for c in ChannelOrder for r in RowOrder]


@pytest.mark.parametrize("kind", [f for f in PixelFormat if f.channels != 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_format_and_layout_becomes_rgb8(kind: PixelFormat, layout: PixelLayout) -> None:
    rng = np.random.default_rng(3)
    if kind.dtype == np.uint8:
        seen = rng.integers(0, 256, (7, 5, kind.channels), np.uint8)
    else:
        seen = rng.normal(0.5, 0.6, (7, 5, kind.channels)).astype(kind.dtype)
        seen[0, 0, 0], seen[1, 1, 1], seen[2, 2, 2] = np.nan, np.inf, -np.inf
    rgb = rgb8_of(torch.from_numpy(lying(seen, layout).copy()), layout)
    assert rgb.is_contiguous()
    expected = as_rgb8(Frame(info=info(1), pixels=seen)).pixels
    np.testing.assert_array_equal(rgb.numpy(), expected)


@pytest.mark.parametrize("kind", list(PixelFormat))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_picture_is_laid_out(kind: PixelFormat, layout: PixelLayout) -> None:
    rng = np.random.default_rng(4)
    seen = (rng.random((7, 5, kind.channels)) * 255).astype(kind.dtype)
    whole = seen
    if kind.channels == 3:
        whole = np.concatenate([seen, np.full((7, 5, 1), 255, np.uint8)], axis=2)
    target = torch.zeros(whole.shape, dtype=torch.from_numpy(whole).dtype)
    lay_out(torch.from_numpy(seen), target, layout)
    np.testing.assert_array_equal(target.numpy(), lying(whole, layout))


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has CUDA")
def test_a_torch_without_cuda_is_refused() -> None:
    with pytest.raises(LinkError, match=r"torch with CUDA.*use shm:NAME"):
        TorchCopier()


@pytest.mark.parametrize(
    ("kind", "typestr"), [(np.uint8, "|u1"), (np.float16, "<f2"), (np.float32, "<f4")]
)
def test_torch_is_told_where_a_plane_lies(kind: type, typestr: str) -> None:
    plane = Plane(0x7F00_0000_0200, 3, 5, 4, np.dtype(kind))
    told = _CudaArray(plane).__cuda_array_interface__
    assert told == {
        "version": 3,
        "shape": (3, 5, 4),
        "typestr": typestr,
        "data": (0x7F00_0000_0200, False),
        "strides": None,
    }
