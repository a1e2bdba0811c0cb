"""Which device torch runs on, and what to do when it cannot use the card that is there."""

from __future__ import annotations

import shutil

import torch

from promptmatte.errors import ModelError


def choose_device(wanted: str = "auto") -> str:
    """A torch device name: the wanted one, or for "auto" the first of cuda, mps, cpu.

    Raises ModelError when the wanted device is not there.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind = wanted.partition(":")[0]
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(kind, False):
        able = ", ".join(name for name, ok in there.items() if ok)
        advice = f" {gpu_advice()}" if kind == "cuda" and gpu_advice() else ""
        raise ModelError(
            f"expected a device that torch can use here (auto, {able}); got {wanted!r}.{advice}"
        )
    return wanted


def gpu_advice() -> str | None:
    """The command that lets torch use an NVIDIA card that is there but idle; None if all is well.

    On Windows the registry's torch is built for the CPU only.
    """
    if shutil.which("nvidia-smi") is None or torch.cuda.is_available():
        return None
    return (
        "There is an NVIDIA card that torch cannot use; install the matching build with: "
        "python -m uv pip install --reinstall torch torchvision --torch-backend=auto "
        "and start with: python -m uv run --no-sync promptmatte"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """True for what torch, numpy or a model raise when the memory is used up."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # MPS and the CPU allocator raise a plain RuntimeError.
    return isinstance(error, RuntimeError) and (
        "out of memory" in str(error) or "DefaultCPUAllocator" in str(error)
    )
