"""A compiled encoder falls back to the plain one, and what it does about a failure."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from promptmatte.models.sam.encoder import EncoderRun, embedded
from tiny_sam import tiny_sam


def test_without_a_compiler_it_runs_plain_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # else it may need no compiler
    encoder = tiny_sam(depth=1, global_blocks=(0,)).image_encoder
    run = EncoderRun(encoder, compiled=True)
    pixels = torch.randn(1, 3, 64, 64)
    from torch._inductor import config

    missing = str(tmp_path / "no-such-compiler")
    with torch.no_grad(), config.patch({"cpp.cxx": (missing,)}), caplog.at_level(logging.WARNING):
        assert torch.equal(run(pixels), embedded(encoder, pixels))
    assert run.way == "plain"
    messages = [r.message for r in caplog.records if r.name == "promptmatte.models.sam.encoder"]
    assert len(messages) == 1
    assert messages[0].startswith("image encoder cannot run compiled: ")
    assert "compiler" in messages[0]
    assert messages[0].endswith("; next: plain")


def test_a_way_that_fails_is_left_for_good(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*_: object, **__: object) -> None:
        tried.append(1)
        raise RuntimeError("Dynamo is not supported here\nand more")

    monkeypatch.setattr(torch, "compile", refuse)
    encoder = tiny_sam().image_encoder
    run = EncoderRun(encoder, compiled=True)
    assert run.way == "compiled"
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert torch.equal(run(pixels), embedded(encoder, pixels))
    assert run.way == "plain"
    assert tried == [1]
    assert [record.message for record in caplog.records] == [
        "image encoder cannot run compiled: Dynamo is not supported here; next: plain"
    ]


def test_an_error_of_the_plain_way_is_the_callers() -> None:
    run = EncoderRun(tiny_sam().image_encoder, compiled=False)
    assert run.way == "plain"
    with pytest.raises(RuntimeError):
        run(torch.randn(1, 5, 64, 64))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@torch.no_grad()
def test_a_graph_gives_each_picture_its_own_embedding() -> None:
    encoder = tiny_sam().image_encoder.cuda()
    run = EncoderRun(encoder, compiled=True)
    pixels = (
        torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 3, 64, 64))).float().cuda()
    )
    first, second = run(pixels[0]), run(pixels[1])
    assert "graph" in run.way
    torch.testing.assert_close(first, embedded(encoder, pixels[0]), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(second, embedded(encoder, pixels[1]), atol=1e-3, rtol=1e-3)
