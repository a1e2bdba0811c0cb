"""A lane of its own for each thread's work on a card, so that every frame's matte goes first."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Lane:
    """A context in which what torch queues runs beside the work of other threads.

    On CUDA that is a stream of its own: urgent, as for the mattes of every frame, or of the
    lowest priority, as for keyframes. On entry the lane waits for what is queued on the stream
    of before, and nothing waits for the lane: tensors made in it are used in it, results leave
    it by `download`. Elsewhere it does nothing. Used by one thread at a time and not entered
    twice at once.

    On CUDA, copies pass through page-locked buffers that are kept and used again.
    """

    def __init__(self, device: str | torch.device, *, urgent: bool = False) -> None:
        self.device = torch.device(device)
        self._stream: Any = None
        self._uploads = self._downloads = None
        if self.device.type == "cuda":
            cuda: Any = torch.cuda
            self._stream = cuda.Stream(device=self.device, priority=-1 if urgent else 0)
            self._uploads = _Uploads(self.device)
            self._downloads = _Downloads(self.device)
        self._inside: AbstractContextManager[Any] = nullcontext()

    def __enter__(self) -> Lane:
        """The lane, where torch queues from now on, in this thread."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
            self._inside = torch.cuda.stream(self._stream)
        self._inside.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Back to the stream of before."""
        self._inside.__exit__(kind, error, trace)

    def upload(self, array: npt.NDArray[Any]) -> Tensor:
        """The array as a tensor on the device, valid until the next upload.

        On CUDA it is queued on the current stream without waiting, and lies in a buffer that
        the next upload fills anew; on a CPU it may share the array's memory.
        """
        if self._uploads is not None:
            return self._uploads.sent(array)
        # torch warns of arrays that must not be written to, which frames are.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def download(self, tensor: Tensor) -> npt.NDArray[Any]:
        """The tensor as an array of the caller's own; waits for the current stream, once."""
        if self._downloads is not None:
            return self._downloads.fetched(tensor.detach())
        return tensor.detach().to("cpu", copy=True).numpy()


class _Uploads:
    """Page-locked memory and its counterpart on the card, as large as the largest copy so far."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._host = _page_locked(0)
        self._card = torch.empty(0, dtype=torch.uint8, device=device)
        self._done = _event()

    @torch.inference_mode(False)  # kept buffers must be writable inside and outside of it
    def sent(self, array: npt.NDArray[Any]) -> Tensor:
        """The array on the card, queued on the current stream."""
        self._done.synchronize()  # the copy before may still be reading the host's side
        size_bytes = array.nbytes
        if self._host.numel() < size_bytes:
            self._host = _page_locked(size_bytes)
            self._card = torch.empty(size_bytes, dtype=torch.uint8, device=self._device)
        dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
        host = self._host[:size_bytes].view(dtype).view(array.shape)
        np.copyto(host.numpy(), array)
        card = self._card[:size_bytes].view(dtype).view(array.shape)
        card.copy_(host, non_blocking=True)
        self._done.record(torch.cuda.current_stream(self._device))
        return card


class _Downloads:
    """Page-locked memory that results are fetched into, as large as the largest so far."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._host = _page_locked(0)
        self._done = _event()

    @torch.inference_mode(False)
    @torch.no_grad()
    def fetched(self, tensor: Tensor) -> npt.NDArray[Any]:
        """A copy of the tensor, after waiting for the current stream."""
        size_bytes = tensor.nbytes
        if self._host.numel() < size_bytes:
            self._host = _page_locked(size_bytes)
        host = self._host[:size_bytes].view(tensor.dtype).view(tensor.shape)
        host.copy_(tensor, non_blocking=True)
        self._done.record(torch.cuda.current_stream(self._device))
        self._done.synchronize()
        return host.numpy().copy()


def _page_locked(size_bytes: int) -> Tensor:
    return torch.empty(size_bytes, dtype=torch.uint8, pin_memory=True)


def _event() -> Any:
    cuda: Any = torch.cuda
    # A blocking event lets the waiting thread sleep instead of keeping a core busy.
    return cuda.Event(blocking=True)
