"""Shared Mem TOP and CUDA as ways out of TouchDesigner: to the edge of what is here."""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_peer import exchange_name, image, on_card, rgb_of
from fake_cuda import FakeCuda
from promptmatte.commands.td import BUILDER, COMPONENT
from promptmatte.links import open_server_link
from promptmatte_shm.cuda_reader import CudaRingReader
from promptmatte_shm.directory import Channel
from promptmatte_shm.ring import ReadCounts
from touchdesigner import STANDIN
from touchdesigner.keyer import Keyer

sys.path.insert(0, str(STANDIN))

from promptmatte_td.fast_paths import KEPT_IMAGES, UNREAD_AFTER_S, CudaPath, source_of
from td_bench import Bench


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


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, poison_arrays=False) as made, made.session.textport.capture():
        runpy.run_path(str(COMPONENT / BUILDER), run_name="build")
        yield made


def run_until(bench: Bench, reached: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline_s, "not in time"
        bench.run(1, fps=60)


def test_the_component_takes_the_path_that_is_chosen_and_says_what_fails(
    bench: Bench, session: str
) -> None:
    component = bench.op("/project1/PromptMatte")
    extension = component.ext.PromptMatteExt
    component.inputConnectors[0].connect(bench.camera(np.zeros((36, 64, 4), np.uint8)))
    keyer = Keyer(open_server_link(session))
    try:
        bench.set(component.par.Session, session.removeprefix("shm:"))
        bench.set(component.par.Prompt1, "person")
        bench.set(component.par.Program, sys.executable)
        run_until(bench, lambda: "Running" in component.par.Status.eval())
        assert component.par.Fastpath.eval() == "readback"
        extension._offered.names = ("readback", "touch", "cuda")
        run_until(bench, lambda: "cuda" in component.par.Fastpath.menuNames)
        assert "licence" in component.par.Fastpath.menuLabels[1]

        bench.set(component.par.Fastpath, "touch")
        run_until(bench, lambda: keyer.controls.stream.fill == "picture")
        sender = component.op("sharedmemout_sent")
        name = f"promptmatte_{session.removeprefix('shm:')}"
        assert str(sender.par.name.eval()) == name
        assert sender.inputs[0].name == "resolution_sent"
        command = extension._panel.launch().command()
        assert command[command.index("--source") + 1] == f"touch:{name}"

        bench.set(component.par.Fastpath, "cuda")
        run_until(bench, lambda: "CUDA (NVIDIA)" in component.par.Status.eval())
        assert component.op("sharedmemout_sent") is None
        assert keyer.controls.stream.fill == "none"

        bench.set(component.par.Fastpath, "readback")
        shown = extension._outputs.shown
        run_until(bench, lambda: extension._outputs.shown is not shown)
        run_until(bench, lambda: "Running" in component.par.Status.eval())
    finally:
        keyer.close()
