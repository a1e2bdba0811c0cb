"""Another program that takes the server's port: before it starts, and between two starts."""

from __future__ import annotations

import os
import time

import numpy as np

from benchmarks.faults.result import Result
from benchmarks.faults.served import Served
from benchmarks.faults.servers import KILL, server_pid, supervised
from benchmarks.faults.workers import worker
from benchmarks.processes import PATIENCE_S, free_port, until

UNUSABLE = 2
REFUSALS = 2


def steal_before_start(count: int, _rng: np.random.Generator, served: Served) -> Result:
    """A second server whose port is taken. Recovered: it ends with exit code 2 and one line that
    names the port, and the first one, which has another port, goes on."""
    result = Result(fault="port taken before the start")
    for _ in range(count):
        port = free_port()
        with worker("hold", port):
            result.tried += 1
            begun_ns = time.monotonic_ns()
            before = len(served.said())
            out = f"zmq:tcp://127.0.0.1:{port}"
            with served.beside("--source", "test:", "--out", out) as second:
                code = second.wait(PATIENCE_S)
            said = served.said()[before:].strip().splitlines()
            if code == UNUSABLE and len(said) == 1 and str(port) in said[0]:
                served.recovered(result, since_ns=begun_ns)
    served.add_to(result)
    return result


def steal_between_starts(count: int, _rng: np.random.Generator) -> Result:
    """A supervised server is killed, the port is taken before it is back, and let go again after
    the server was refused twice. Recovered: both links, by themselves."""
    result = Result(fault="port stolen between two starts")
    with Served(start=False) as served:
        for _ in range(count):
            begun_ns = time.monotonic_ns()
            with supervised(served):
                served.watches[1].right_after(begun_ns)
                result.tried += 1
                os.kill(server_pid(served.session), KILL)
                before = _refusals(served)
                with worker("hold", served.port):
                    until(lambda before=before: _refusals(served) >= before + REFUSALS)
                since_ns = time.monotonic_ns()
                served.recovered(result, since_ns=since_ns)
        served.add_to(result)
    return result


def _refusals(served: Served) -> int:
    """Lines of the service's log in which a server names the port that it could not have."""
    said = (served.folder / "service.log").read_text(encoding="utf-8")
    return sum("promptmatte: " in line and str(served.port) in line for line in said.splitlines())
