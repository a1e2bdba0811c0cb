"""Running an image encoder: all but its neck in the format chosen, compiled if that works."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from promptmatte.models.sam.light import LightImageEncoder

logger = logging.getLogger(__name__)

Run = Callable[[Tensor], Tensor]


def cast(encoder: nn.Module, dtype: torch.dtype) -> None:
    """Casts an image encoder in place, its neck to float32.

    The neck's LayerNorm2d squares activations, which overflows fp16 above 255, and has less
    than 1 % of the weights.
    """
    for name, part in encoder.named_children():
        part.to(torch.float32 if name == "neck" else dtype)
    for own in encoder.parameters(recurse=False):
        own.data = own.data.to(dtype)


def embedded(encoder: nn.Module, pixels: Tensor) -> Tensor:
    """The image embedding float32 [B, dim, g, g] of normalised pixels [B, 3, side, side]."""
    if isinstance(encoder, LightImageEncoder):
        return encoder(pixels)  # type: ignore[no-any-return]
    model: Any = encoder
    x = model.patch_embed(pixels)
    if model.pos_embed is not None:
        x = x + model.pos_embed
    for block in model.blocks:
        x = block(x)
    return model.neck(x.permute(0, 3, 1, 2).float())  # type: ignore[no-any-return]


class EncoderRun:
    """`embedded` of one encoder, by the fastest way that works; always of one batch shape.

    compiled: by torch.compile, on CUDA also recorded once as a CUDA graph and then replayed.
    Where that fails (no compiler, no triton) the next simpler way is taken, with a warning.
    """

    def __init__(self, encoder: nn.Module, *, compiled: bool) -> None:
        def plain(pixels: Tensor) -> Tensor:
            return embedded(encoder, pixels)

        self._ways: list[tuple[str, Callable[[], Run]]] = [("plain", lambda: plain)]
        if compiled:
            on_cuda = next(encoder.parameters()).is_cuda
            self._ways = [
                *([("compiled, as a CUDA graph", lambda: _Graph(_compiled(plain)))] * on_cuda),
                ("compiled", lambda: _compiled(plain)),
                *([("as a CUDA graph", lambda: _Graph(plain))] * on_cuda),
                ("plain", lambda: plain),
            ]
        self._run: Run | None = None

    @property
    def way(self) -> str:
        """How it runs now, or is about to try to."""
        return self._ways[0][0]

    def __call__(self, pixels: Tensor) -> Tensor:
        """The embedding of normalised pixels; only the plain way may raise."""
        while len(self._ways) > 1:
            try:
                self._run = self._run or self._ways[0][1]()
                return self._run(pixels)
            except Exception as error:  # noqa: BLE001  compilers and drivers fail in any way
                failed = self._ways.pop(0)[0]
                self._run = None
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                logger.warning(
                    "image encoder cannot run %s: %s; next: %s", failed, reason, self.way
                )
        return self._ways[0][1]()(pixels)


def _compiled(run: Run) -> Run:
    compiled: Any = torch.compile(run)
    return compiled  # type: ignore[no-any-return]


class _Graph:
    """A CUDA graph of a run, recorded on first use."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._graph: Any = None
        self._pixels = self._embedding = torch.empty(0)

    def __call__(self, pixels: Tensor) -> Tensor:
        """What the run gives, in a tensor of its own."""
        if self._graph is None:
            self._graph = self._recorded(pixels)
        self._pixels.copy_(pixels)
        self._graph.replay()
        return self._embedding.clone()

    def _recorded(self, pixels: Tensor) -> Any:
        self._pixels = pixels.clone()
        cuda: Any = torch.cuda
        before, aside = cuda.current_stream(), cuda.Stream()
        aside.wait_stream(before)
        with cuda.stream(aside):
            for _ in range(2):  # compiles and lets libraries allocate, which a graph cannot record
                self._run(self._pixels)
        before.wait_stream(aside)
        graph = cuda.CUDAGraph()
        # thread_local: what the matte loop does on the card meanwhile must not end the recording.
        with cuda.graph(graph, capture_error_mode="thread_local"):
            self._embedding = self._run(self._pixels)
        return graph
