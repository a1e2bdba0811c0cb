"""A show on the stand-in: the exported component, cooking at 60 fps against the real server.

Runs in a process of its own that has nothing but Python, numpy, the stand-in and the export:
python -S NAME_show.py SETTINGS.json. The last line it prints is JSON for the test.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
sys.path[:0] = SETTINGS["paths"]

import runpy  # noqa: E402

import numpy as np  # noqa: E402
import td  # noqa: E402
import td_bench  # noqa: E402

FPS = 60
BITS = 16
PATIENCE_S = 180.0


class Show:
    """A project with a camera whose pictures carry the number of their frame, and PromptMatte."""

    def __init__(self, pictures: np.ndarray) -> None:
        """pictures: uint8 [n, h, w, 3], top row first, shown in turn."""
        self.bench = td_bench.Bench(SETTINGS["project"], build=SETTINGS.get("build", 2025),
                                    poison_arrays=SETTINGS.get("poison_arrays", False))  # fmt: skip
        builder = Path(SETTINGS["export"]) / "promptmatte_td" / "build_component.py"
        runpy.run_path(str(builder), run_name="build")
        self.component = self.bench.op("/project1/PromptMatte")
        self.pictures = pictures
        self.camera = self.bench.camera(self._picture)
        self.component.inputConnectors[0].connect(self.camera)
        self.outputs = {n: self.component.op(f"out{n}") for n in range(1, 6)}
        for output in self.outputs.values():
            self.bench.watch(output)

    def _picture(self) -> np.ndarray:
        number = int(td.absTime.frame)
        picture = self.pictures[number % len(self.pictures)].copy()
        picture[:2, : 2 * BITS] = marked(number)
        return picture[::-1]

    def set(self, **values: Any) -> None:
        for name, value in values.items():
            self.bench.set(self.component.par[name], value)

    def press(self, name: str) -> None:
        self.bench.pulse(self.component.par[name])

    def run(self, frames: int) -> None:
        self.bench.run(frames, fps=FPS)

    def run_until(self, reached: Callable[[], Any], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not reached():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{what}: not in time; {self.status}; {self.log[-12:]}")
            self.run(1)

    @property
    def status(self) -> str:
        return str(self.component.par.Status.eval())

    @property
    def log(self) -> list[str]:
        dat = self.component.op("log")
        return [str(dat[row, 1]) for row in range(dat.numRows)]

    @property
    def server_pid(self) -> int | None:
        return self.component.ext.PromptMatteExt._process.pid

    def info(self, name: str) -> float:
        return float(self.outputs[4][name][0])

    def shown(self, output: int) -> np.ndarray:
        """What an output shows, float32 [h, w, 4], top row first."""
        return self.bench.picture(self.outputs[output])[::-1]

    def number_shown(self) -> int:
        """The number of the frame on the picture output."""
        return number_in(self.shown(2))


def marked(number: int) -> np.ndarray:
    """The number as two rows of black and white blocks, two pixels a bit."""
    bits = [255 * (number >> bit & 1) for bit in range(BITS)]
    return (
        np.repeat(np.array(bits, np.uint8), 2)[np.newaxis, :, np.newaxis].repeat(2, 0).repeat(3, 2)
    )


def number_in(picture: np.ndarray) -> int:
    bits = picture[0, : 2 * BITS : 2, 0] > 0.5
    return int(sum(1 << bit for bit in range(BITS) if bits[bit]))


def overlap(alpha: np.ndarray, truth: np.ndarray) -> float:
    found = alpha >= 0.5
    union = int((found | truth).sum())
    return float((found & truth).sum() / union) if union else 1.0


def answers(results: dict[str, Any]) -> None:
    print(json.dumps(results), flush=True)
