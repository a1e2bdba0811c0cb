"""promptmatte with a fault in it: python -m benchmarks.faults.struck KIND SEED ARGUMENT ...

Tells each fault on standard error: "fault" and the machine's own monotonic nanoseconds.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from promptmatte.cli import main
from promptmatte.matte.correction import MaskCorrector
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.models import host, load_model
from promptmatte.models.choice import ModelChoice
from promptmatte.models.protocol import Model, Progress

TOLD = "fault"
CLOCKS = {"time": 1.0, "time_ns": 1e9, "monotonic": 1.0, "monotonic_ns": 1e9}
DAY_S = 86_400.0
STEADY_S = 1.0
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory (a simulated fault)")
OUT_OF_MEMORY_SHARE = 0.4
FAILING_FRAMES_SHARE = 0.02

real_ns, real_sleep = time.monotonic_ns, time.sleep


def tell() -> None:
    """Says that a fault happened now."""
    sys.stderr.write(f"{TOLD} {real_ns()}\n")
    sys.stderr.flush()


def jumping_clocks(rng: np.random.Generator) -> None:
    """About every second the monotonic clock jumps ahead, an hour on the average (a computer that
    slept), and the wall clock to any time within ten days (somebody set it)."""
    ahead_s = {"monotonic": 0.0, "time": 0.0}

    def jumping(name: str, unit: float) -> Callable[[], Any]:
        real, kind = getattr(time, name), name.removesuffix("_ns")
        return lambda: type(real())(real() + ahead_s[kind] * unit)

    for name, unit in CLOCKS.items():
        setattr(time, name, jumping(name, unit))

    def jump() -> None:
        while True:
            real_sleep(STEADY_S * rng.uniform(0.5, 1.5))
            ahead_s["monotonic"] += rng.exponential(DAY_S / 24)
            ahead_s["time"] = rng.uniform(-5, 5) * DAY_S
            tell()

    threading.Thread(target=jump, name="fault-clock", daemon=True).start()


def short_memory(rng: np.random.Generator) -> None:
    """The memory of the device runs out in two of five encodes of any model but the embedded one
    on the processor as the user wants it: mobile-sam is the embedded model under that name."""

    def load(choice: ModelChoice, *, progress: Progress) -> Model:
        named = ModelChoice(device=choice.device)
        model = load_model(named, progress=progress)
        return ShortOfMemory(model, choice.name, rng)  # type: ignore[return-value]

    host.load_model = load


class ShortOfMemory:
    """A real model whose encode now and then finds no memory."""

    def __init__(self, model: Model, name: str, rng: np.random.Generator) -> None:
        self.name = name
        self._model = model
        self.encode = _failing(model.encode, OUT_OF_MEMORY, OUT_OF_MEMORY_SHARE, rng)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def failing_frames(rng: np.random.Generator) -> None:
    """One of fifty frames fails when its masks are corrected, and one when its edges are drawn."""
    for owner, name, error in (
        (MaskCorrector, "masks", OUT_OF_MEMORY),
        (EdgeRefiner, "refine", MemoryError("a simulated fault")),
    ):
        setattr(owner, name, _failing(getattr(owner, name), error, FAILING_FRAMES_SHARE, rng))


def _failing(
    real: Callable[..., Any], error: Exception, share: float, rng: np.random.Generator
) -> Callable[..., Any]:
    (own,) = rng.spawn(1)  # each may be called on a thread of its own

    def failing(*args: Any) -> Any:
        if own.random() < share:
            tell()
            raise type(error)(*error.args)
        return real(*args)

    return failing


def small_disk(_rng: np.random.Generator) -> None:
    """No file can grow beyond FILE_BYTES, as on a full disk (not on Windows)."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


FILE_BYTES = 2 * 2**20
"""Enough for the link's memory, which is files too."""

KINDS = {kind.__name__: kind for kind in (jumping_clocks, short_memory, failing_frames, small_disk)}

if __name__ == "__main__":
    KINDS[sys.argv[1]](np.random.default_rng(int(sys.argv[2])))
    sys.exit(main(sys.argv[3:]))
