"""The copier of the CUDA link without a card."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from fake_cuda import FakeCuda
from promptmatte.links.cuda_copier import TorchCopier
from promptmatte_shm.cuda_ring import Plane


class CpuCopier(TorchCopier):
    """The same on the CPU, in the memory of a FakeCuda: no stream, no page-locked memory."""

    def __init__(self, device: FakeCuda) -> None:
        self._fake = device
        self.before_done: Callable[[], None] = lambda: None

    @contextmanager
    def _copying(self) -> Iterator[None]:
        yield
        self.before_done()

    def _page_locked(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype)

    def _sent(self, host: torch.Tensor) -> torch.Tensor:
        return host

    def _seen(self, plane: Plane) -> torch.Tensor:
        return torch.from_numpy(self._fake.array(plane.pointer, plane.shape, plane.dtype))
