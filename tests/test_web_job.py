"""The video desk: one order at a time; done, cancelled or failed, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from links_testing import wait_for
from promptmatte.errors import CommandError
from promptmatte.models.choice import ModelChoice
from promptmatte.web.engine import Engine
from promptmatte.web.job import VideoDesk
from promptmatte.web.regions import prompts_in, shaped

PATIENCE_S = 180.0


@pytest.fixture
def desk(tiny_weights: Path, tmp_path: Path) -> Iterator[VideoDesk]:
    engine = Engine(ModelChoice(device="cpu", weights=tiny_weights))
    opened = VideoDesk(engine, tmp_path / "results")
    yield opened
    opened.close()
    assert not list((tmp_path / "results").iterdir())


def clip(path: Path, frames: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for index in range(frames):
            pixels = np.full((48, 64, 3), index % 250, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def start(desk: VideoDesk, source: Path, suffix: str = ".mov") -> None:
    desk.start(source, prompts=prompts_in("disc"), suffix=suffix, quality="fast",
               controls=shaped(threshold=0.5, smoothness=1))  # fmt: skip


def ended(desk: VideoDesk) -> str:
    wait_for(lambda: desk.state.state not in ("idle", "running"), PATIENCE_S)
    return desk.state.state


def test_a_result_lies_there_until_the_next_order(desk: VideoDesk, tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", 5)
    start(desk, source, ".webm")
    assert ended(desk) == "done"
    first = desk.state.result
    assert first is not None
    assert first.name == "clip-cut.webm"
    assert first.stat().st_size > 0
    start(desk, source)
    assert ended(desk) == "done"
    assert not first.exists()


def test_one_order_at_a_time_and_a_cancelled_one_leaves_nothing(
    desk: VideoDesk, tmp_path: Path
) -> None:
    source = clip(tmp_path / "long.mp4", 3000)
    start(desk, source)
    wait_for(lambda: "of 3000" in desk.state.text, PATIENCE_S)
    assert 0 < (desk.state.share or 0) < 1
    with pytest.raises(CommandError, match="one video at a time"):
        start(desk, source)
    desk.cancel()
    assert ended(desk) == "cancelled"
    assert desk.state.result is None
    assert not list((tmp_path / "results").iterdir())


def test_a_damaged_file_fails_with_a_line(desk: VideoDesk, tmp_path: Path) -> None:
    source = tmp_path / "damaged.mp4"
    source.write_bytes(bytes(3000))
    start(desk, source)
    assert ended(desk) == "failed"
    assert "damaged.mp4" in desk.state.text
