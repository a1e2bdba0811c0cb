"""The component on the stand-in within a test's own process."""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from promptmatte.commands.td import BUILDER, COMPONENT

from touchdesigner import STANDIN

sys.path.insert(0, str(STANDIN))

from td_bench import Bench


@contextmanager
def project(folder: Path) -> Iterator[Bench]:
    """A project whose Textport is quiet, and whose arrays stay as they are until the next
    readback: what a worker reads in the meantime."""
    with Bench(folder, poison_arrays=False) as bench, bench.session.textport.capture():
        yield bench


class Stage:
    """A built component with a camera, whose Status and outputs are looked at."""

    def __init__(self, bench: Bench, session: str) -> None:
        self.bench = bench
        runpy.run_path(str(COMPONENT / BUILDER), run_name="build")
        self.component = bench.op("/project1/PromptMatte")
        self.extension = self.component.ext.PromptMatteExt
        camera = np.full((18, 32, 4), 200, np.uint8)
        self.component.inputConnectors[0].connect(bench.camera(camera))
        for output in ("out1", "out2", "out4"):
            bench.watch(self.component.op(output))
        self.set(Session=session.removeprefix("shm:"), Workingsize="input", Prompt1="jacket")

    def set(self, **values: Any) -> None:
        for name, value in values.items():
            self.bench.set(self.component.par[name], value)

    @property
    def par(self) -> Any:
        """The component's parameters."""
        return self.component.par

    @property
    def status(self) -> str:
        return str(self.component.par.Status.eval())

    def info(self, name: str) -> float:
        return float(self.component.op("out4")[name][0])

    def matte(self) -> np.ndarray:
        return self.bench.picture(self.component.op("out1"))

    def run_for(self, seconds: float) -> None:
        self.bench.run(round(seconds * 60), fps=60)

    def run_until(self, reached: Callable[[], Any]) -> None:
        deadline_s = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < deadline_s, self.status
            self.bench.run(1, fps=60)
