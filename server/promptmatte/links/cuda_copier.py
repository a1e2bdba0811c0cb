"""Pictures between a card and the host, turned on the card to what each side wants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from promptmatte_shm.cuda_driver import INSTEAD
from promptmatte_shm.cuda_ring import ChannelOrder, PixelLayout, Plane, RowOrder

from promptmatte.errors import LinkError

if TYPE_CHECKING:
    import torch


class Copier(Protocol):
    """Moves pictures between a card and the host, and waits until each has moved."""

    def download(self, plane: Plane, layout: PixelLayout) -> npt.NDArray[np.uint8]:
        """A plane as rgb8 [H, W, 3], rows top-down, in memory of its own."""
        ...

    def upload(self, pixels: npt.NDArray[Any], plane: Plane, layout: PixelLayout) -> None:
        """Lays an array [H, W, C] out in a plane; three channels get a fourth, 255."""
        ...


class TorchCopier:
    """A Copier by torch, on a stream of its own."""

    def __init__(self, ordinal: int = 0) -> None:
        """ordinal: number of the card, as of CudaDriver. LinkError if torch cannot use it."""
        import torch

        if not (torch.cuda.is_available() and ordinal < torch.cuda.device_count()):
            raise LinkError(
                f"expected a torch with CUDA for cuda:NAME; got {torch.__version__}: install one "
                f"that is built for CUDA and this driver, or {INSTEAD}"
            )
        self._device = torch.device("cuda", ordinal)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def download(self, plane: Plane, layout: PixelLayout) -> npt.NDArray[np.uint8]:
        """A plane as rgb8 [H, W, 3], rows top-down, in memory of its own."""
        with self._copying():
            rgb = rgb8_of(self._seen(plane), layout)
            # Fresh each time, from torch's cache of page-locked blocks: the frame keeps it.
            host = self._page_locked(rgb.shape, rgb.dtype)
            host.copy_(rgb, non_blocking=True)
        return host.numpy()

    def upload(self, pixels: npt.NDArray[Any], plane: Plane, layout: PixelLayout) -> None:
        """Lays an array [H, W, C] out in a plane; three channels get a fourth, 255."""
        import torch

        host = self._page_locked(pixels.shape, torch.from_numpy(np.empty(0, pixels.dtype)).dtype)
        np.copyto(host.numpy(), pixels)
        with self._copying():
            lay_out(self._sent(host), self._seen(plane), layout)

    @contextmanager
    def _copying(self) -> Iterator[None]:
        """Work on the stream, done at the end."""
        import torch

        with torch.cuda.stream(self._stream):
            yield
        self._stream.synchronize()

    def _page_locked(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        import torch

        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def _sent(self, host: torch.Tensor) -> torch.Tensor:
        return host.to(self._device, non_blocking=True)

    def _seen(self, plane: Plane) -> torch.Tensor:
        """A tensor that looks into the card's memory."""
        import torch

        return torch.as_tensor(_CudaArray(plane), device=self._device)


class _CudaArray:
    """What torch asks to look into memory of the card (CUDA array interface, version 3)."""

    def __init__(self, plane: Plane) -> None:
        self.__cuda_array_interface__ = {
            "version": 3,
            "shape": plane.shape,
            "typestr": plane.dtype.str,
            "data": (plane.pointer, False),
            "strides": None,
        }


def rgb8_of(pixels: torch.Tensor, layout: PixelLayout) -> torch.Tensor:
    """Pixels [H, W, 1 or 4] of uint8 or float as rgb8 [H, W, 3], top-down.

    Rounds as sources.conversion.as_rgb8: floats clipped to 0..1, NaN is 0, alpha dropped.
    """
    import torch

    colours = pixels[..., :3]
    if colours.is_floating_point():
        levels = torch.nan_to_num(colours.float(), nan=0.0).clamp_(0.0, 1.0)
        colours = (levels * 255 + 0.5).to(torch.uint8)
    turned = torch.flip(colours, _turned(pixels, layout))
    return turned.expand(-1, -1, 3).contiguous()


def lay_out(pixels: torch.Tensor, target: torch.Tensor, layout: PixelLayout) -> None:
    """Writes pixels [H, W, C] into a plane's tensor, in its layout."""
    import torch

    dims = _turned(target, layout)
    if pixels.shape[2] == 3:
        target[..., 3] = 255
        target = target[..., :3]
    elif 2 in dims:
        target[..., 3:] = torch.flip(pixels[..., 3:], [d for d in dims if d != 2])
        pixels, target = pixels[..., :3], target[..., :3]
    target.copy_(torch.flip(pixels, dims))


def _turned(pixels: torch.Tensor, layout: PixelLayout) -> list[int]:
    """The dimensions in which a plane of this layout runs the other way round."""
    dims = [0] if layout.rows is RowOrder.BOTTOM_UP else []
    four_bytes = pixels.shape[2] == 4 and pixels.element_size() == 1
    return [*dims, 2] if four_bytes and layout.channels is ChannelOrder.BGRA else dims
