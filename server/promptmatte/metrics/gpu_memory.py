"""Memory of the CUDA card that the model runs on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from prometheus_client.core import GaugeMetricFamily, Metric


def gpu_memory(device: str) -> Iterator[Metric]:
    """Bytes that torch holds on the card, and the card's own; nothing for another device."""
    if not device.startswith("cuda") or not torch.cuda.is_available():
        return
    free, total = torch.cuda.mem_get_info(device)
    for name, text, value in (
        ("allocated", "Held by this server's tensors", torch.cuda.memory_allocated(device)),
        ("reserved", "Kept by this server's allocator", torch.cuda.memory_reserved(device)),
        ("free", "Free on the card, whoever uses the rest", free),
        ("total", "Of the card", total),
    ):
        metric = GaugeMetricFamily(f"promptmatte_gpu_memory_{name}_bytes", text, labels=["device"])
        metric.add_metric([device], value)
        yield metric
