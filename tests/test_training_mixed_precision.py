"""Where training computes in bfloat16."""

from __future__ import annotations

import pytest
import torch
from promptmatte.training.mixed_precision import mixed_precision


@pytest.mark.parametrize("has_it", [True, False])
def test_a_cpu_computes_in_bfloat16_only_if_it_has_it(
    has_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_it, raising=False
    )
    weights = torch.ones(4, 4)
    with mixed_precision(torch.device("cpu")):
        found = weights @ weights
    assert found.dtype == (torch.bfloat16 if has_it else torch.float32)


def test_a_cpu_without_onednn_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    weights = torch.ones(4, 4)
    with mixed_precision(torch.device("cpu")):
        assert (weights @ weights).dtype == torch.float32
