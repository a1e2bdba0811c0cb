"""Processes that stand still for a while (SIGSTOP, SIGCONT), in whatever they are doing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

import numpy as np

from benchmarks.faults.picture import fault_of_matte
from benchmarks.faults.result import Result
from benchmarks.faults.served import Served
from benchmarks.faults.watch import Watch
from benchmarks.faults.workers import told_at_end, worker
from benchmarks.processes import free_session, until

PAUSES_ARE_POSSIBLE = hasattr(signal, "SIGSTOP")
LONGEST_LIFE_S = 0.1
SILENCE_S = 2.5
"""After this even the slower link says that its server is silent."""


def stop(process: subprocess.Popen[Any]) -> None:
    """Lets it stand still."""
    os.kill(process.pid, signal.SIGSTOP)


def go_on(process: subprocess.Popen[Any]) -> int:
    """Lets it go on; the moment."""
    moment_ns = time.monotonic_ns()
    os.kill(process.pid, signal.SIGCONT)
    return moment_ns


def pause_writers(count: int, rng: np.random.Generator) -> Result:
    """A writer of 460 KB mattes as fast as it can, stopped mostly in the middle of one, until its
    reader says that there is no server."""
    result = Result(fault="SIGSTOP of the writer")
    name = free_session()
    with worker("write", name, 0) as writer, Watch(f"shm:{name}", fault_of_matte) as watch:
        until(lambda: watch.link.status.connected)
        for _ in range(count):
            time.sleep(rng.uniform(0, LONGEST_LIFE_S))
            result.tried += 1
            stop(writer)
            until(lambda: not watch.link.status.connected)
            begun_ns = go_on(writer)
            came_ns = watch.right_after(begun_ns)
            if came_ns is not None and watch.link.status.connected:
                result.recovered_after((came_ns - begun_ns) / 1e6)
        result.looked_at, result.wrong = watch.looked_at, watch.wrong
    return result


def pause_readers(count: int, rng: np.random.Generator) -> Result:
    """A reader stopped in whatever it does, while another reads on and the writer writes on; when
    it goes on it must be right. Recovered: the other one had a new matte meanwhile, and requests
    are answered."""
    result = Result(fault="SIGSTOP of a reader")
    name = free_session()
    with (
        worker("write", name, 0.002) as writer,
        Watch(f"shm:{name}", fault_of_matte) as watch,
        worker("read", f"shm:{name}", 1) as reader,
    ):
        for _ in range(count):
            time.sleep(rng.uniform(0, LONGEST_LIFE_S))
            result.tried += 1
            stop(reader)
            begun_ns = time.monotonic_ns()
            came_ns = watch.right_after(begun_ns)
            answered = watch.link.request({"command": "ping"}, timeout_s=10.0)["ok"]
            time.sleep(rng.uniform(0, LONGEST_LIFE_S))
            go_on(reader)
            if came_ns is not None and answered:
                result.recovered_after((came_ns - begun_ns) / 1e6)
        told = told_at_end(reader)
        writer.communicate("")
        result.looked_at = watch.looked_at + told["looked_at"]
        result.wrong = watch.wrong + ["the stopped reader saw wrong mattes"] * told["wrong"]
    return result


def pause_servers(count: int, rng: np.random.Generator, served: Served) -> Result:
    """A real server stopped for up to four seconds, every other time until both links say that
    there is none; recovered: both show a matte of a frame captured after that."""
    result = Result(fault="SIGSTOP of the server")
    for turn in range(count):
        time.sleep(rng.uniform(0, LONGEST_LIFE_S))
        result.tried += 1
        stop(served.process)
        if turn % 2 == 0:
            time.sleep(SILENCE_S)
            until(lambda: not any(watch.link.status.connected for watch in served.watches))
        else:
            time.sleep(rng.uniform(0, LONGEST_LIFE_S))
        served.recovered(result, since_ns=go_on(served.process))
    served.add_to(result)
    return result
