"""Sources that vanish, come back, and change size and format."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.faults.picture import STEADY_FRAMES
from benchmarks.faults.result import Result
from benchmarks.faults.served import Served
from benchmarks.processes import kill

LONGEST_LIFE_S = 0.5
LONGEST_GAP_S = 1.0
CHANGE_FPS = 30


def lose_sources(count: int, rng: np.random.Generator, served: Served) -> Result:
    """The program that sends the frames is killed, another begins up to a second later, with a
    stream of its own; the server and the readers stay."""
    result = Result(fault="source lost")
    for _ in range(count):
        time.sleep(rng.uniform(0, LONGEST_LIFE_S))
        result.tried += 1
        kill(served.source)
        time.sleep(rng.uniform(0, LONGEST_GAP_S))
        begun_ns = time.monotonic_ns()
        served.start_source()
        served.recovered(result, since_ns=begun_ns)
    served.add_to(result)
    return result


def change_every_second(count: int, _rng: np.random.Generator) -> Result:
    """Size and format of the frames change every second."""
    return _change(count, every=STEADY_FRAMES, fault="another size and format every second")


def change_every_frame(count: int, _rng: np.random.Generator) -> Result:
    """Size and format change with every frame of every other second. While they do there may be
    no mattes at all, as each change wants a keyframe of its own; none may be wrong."""
    return _change(count, every=1, fault="another size and format every frame")


def _change(count: int, *, every: int, fault: str) -> Result:
    """Waits so often until both links show a right matte of a frame made after a change."""
    result = Result(fault=fault)
    with Served(every=every, fps=CHANGE_FPS) as served:
        while result.tried < count:
            result.tried += 1
            begun_ns = time.monotonic_ns()
            served.recovered(result, since_ns=begun_ns + round(1e9 * STEADY_FRAMES / CHANGE_FPS))
        served.add_to(result)
    return result
