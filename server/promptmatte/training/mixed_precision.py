"""bfloat16 beside float32, where that is faster."""

from __future__ import annotations

import torch


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which a device computes in bfloat16, or as before where it would not gain.

    CPUs without AVX-512 only emulate bfloat16: on an AVX2 EPYC a training step of the projection
    took 14.5 s of one core in place of 1.5 s.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=_has_bfloat16(device))


def _has_bfloat16(device: torch.device) -> bool:
    if device.type != "cpu":
        return device.type != "mps"
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
