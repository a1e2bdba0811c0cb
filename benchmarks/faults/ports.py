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
WAITS = "has to wait"
"""What a server says of a link whose port is taken."""


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
    """A supervised server is killed, and the port is taken before it is back. Recovered: shared
    memory meanwhile, and both links, by themselves, once the port is let go."""
    result = Result(fault="port stolen between two starts")
    with Served(start=False) as served:
        for _ in range(count):
            begun_ns = time.monotonic_ns()
            with supervised(served):
                served.watches[1].right_after(begun_ns)
                result.tried += 1
                before = _waits(served)
                killed_ns = time.monotonic_ns()
                os.kill(server_pid(served.session), KILL)
                with worker("hold", served.port):
                    until(lambda before=before: _waits(served) > before)
                    meanwhile = served.watches[0].right_after(killed_ns)
                if meanwhile is not None:
                    served.recovered(result, since_ns=time.monotonic_ns())
        served.add_to(result)
    return result


def _waits(served: Served) -> int:
    """Lines of the service's log in which a server names the port that it waits for."""
    said = (served.folder / "service.log").read_text(encoding="utf-8")
    return sum(WAITS in line and str(served.port) in line for line in said.splitlines())
