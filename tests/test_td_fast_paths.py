"""Shared Mem TOP and CUDA as ways out of TouchDesigner: to the edge of what is here."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cuda_peer import exchange_name, image, on_card, rgb_of
from fake_cuda import FakeCuda
from promptmatte.links import open_server_link
from promptmatte_shm.cuda_reader import CudaRingReader
from promptmatte_shm.directory import Channel
from promptmatte_shm.ring import ReadCounts
from touchdesigner.keyer import Keyer
from touchdesigner.stage import Stage, project

# after the stage, which brings the stand-in's td
from promptmatte_td.fast_paths import (  # isort: skip
    KEPT_IMAGES,
    UNREAD_AFTER_S,
    CudaPath,
    source_of,
)


class Top:
    """A TOP on a card: each call gives another picture in memory of its own."""

    def __init__(self, card: FakeCuda) -> None:
        self._card = card
        self.pictures: list[SimpleNamespace] = []

    def cudaMemory(self, stream: int | None = None) -> SimpleNamespace:  # noqa: N802
        picture = image(self._card, on_card(rgb_of(len(self.pictures), (9, 7))))
        self.pictures.append(picture)
        return picture


@pytest.fixture
def name() -> Iterator[str]:
    yield from exchange_name()


def test_frames_stay_on_the_card_and_are_kept_for_their_mattes(name: str) -> None:
    card, device = FakeCuda(name), FakeCuda(name)
    top, now = Top(card), [100.0]
    path = CudaPath(top, name, card=lambda pointer: card, clock=lambda: now[0])
    reader = CudaRingReader(name, Channel.FRAMES, device=device, counts=ReadCounts())
    seen = {}
    for frame in range(1, KEPT_IMAGES + 5):
        path.send(frame)
        found = reader.newest()
        if found is not None and reader.finish(found):
            seen[frame] = found.header.info
    assert len(seen) > KEPT_IMAGES / 2
    for frame, info in seen.items():
        kept = path.image_of(info)
        if frame <= 4:
            assert kept is None, "the oldest are let go"
        else:
            assert kept is not None
            assert kept.drawn_at == frame
            assert kept.image is top.pictures[frame]
    assert path.trouble == ""
    reader.close()
    now[0] += 2 * UNREAD_AFTER_S
    time.sleep(2.1)
    path.send(999)
    assert f"does not read cuda:{name}: Restart" in path.trouble
    path._sender.close()
    for picture in top.pictures:
        card.free(picture.ptr)


def test_each_path_has_its_source() -> None:
    assert source_of("touch", "stage") == "touch:promptmatte_stage"
    assert source_of("cuda", "stage") == "cuda:stage"


def test_the_component_takes_the_path_that_is_chosen_and_says_what_fails(
    tmp_path: Path, session: str
) -> None:
    keyer = Keyer(open_server_link(session))
    try:
        with project(tmp_path) as bench:
            _take_each_path(Stage(bench, session), keyer, session.removeprefix("shm:"))
    finally:
        keyer.close()


def _take_each_path(stage: Stage, keyer: Keyer, session: str) -> None:
    stage.set(Program=sys.executable)
    stage.run_until(lambda: stage.status.startswith("Running"))
    assert stage.par.Fastpath.eval() == "readback"
    stage.extension._offered.names = ("readback", "touch", "cuda")
    stage.run_until(lambda: "cuda" in stage.par.Fastpath.menuNames)
    assert "licence" in stage.par.Fastpath.menuLabels[1]

    stage.set(Fastpath="touch")
    stage.run_until(lambda: keyer.controls.stream.fill == "picture")
    sender = stage.component.op("sharedmemout_sent")
    assert str(sender.par.name.eval()) == f"promptmatte_{session}"
    assert sender.inputs[0].name == "resolution_sent"
    command = stage.extension._panel.launch().command()
    assert command[command.index("--source") + 1] == f"touch:promptmatte_{session}"

    stage.set(Fastpath="cuda")
    stage.run_until(lambda: "CUDA (NVIDIA)" in stage.status)
    assert stage.component.op("sharedmemout_sent") is None
    assert keyer.controls.stream.fill == "none"

    stage.set(Fastpath="readback")
    shown = stage.extension._outputs.shown
    stage.run_until(lambda: stage.extension._outputs.shown is not shown)
    stage.run_until(lambda: stage.status.startswith("Running"))
