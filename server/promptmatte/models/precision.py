"""The number formats of an image encoder."""

from __future__ import annotations

import torch

from promptmatte.errors import ModelError, shown

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

BF16_CAPABILITY = (8, 0)
"""NVIDIA's Ampere; older cards only emulate bf16."""


def resolved(precision: str, device: torch.device) -> str:
    """fp32, bf16 or fp16 for what was chosen: auto is bf16 on a card that has it, else fp16 on a
    card, fp32 on a CPU; ModelError for an unknown name."""
    if precision == "auto":
        match device.type:
            case "cpu":
                return "fp32"
            case "cuda" if torch.cuda.get_device_capability(device) >= BF16_CAPABILITY:
                return "bf16"
            case _:
                return "fp16"
    if precision not in DTYPES:
        raise ModelError(
            f"expected a precision of auto, {', '.join(DTYPES)}; got {shown(precision)}"
        )
    return precision
