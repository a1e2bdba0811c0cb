"""kill -9 of a real server at random moments, started again by hand or by its supervisor."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from promptmatte.service.log_file import LogFile
from promptmatte.service.supervisor import Supervisor, serve_command
from promptmatte_shm.directory import Directory

from benchmarks.faults.result import Result
from benchmarks.faults.served import Served
from benchmarks.processes import kill, segments_of, until

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
LONGEST_LIFE_S = 1.0
FIRST_WAIT_S = 0.1
FALLS_A_SUPERVISOR = 4
"""With each fall its wait doubles."""


def kill_servers(count: int, rng: np.random.Generator) -> Result:
    """Each server is started by hand in the session and at the port of the one that was killed;
    source and readers stay. Recovery includes the start of Python and of the model."""
    result = Result(fault="kill -9 of the server")
    with Served() as served:
        for _ in range(count):
            time.sleep(rng.uniform(0, LONGEST_LIFE_S))
            result.tried += 1
            killed_ns = time.monotonic_ns()
            kill(served.process)
            served.start()
            served.recovered(result, since_ns=killed_ns)
        served.add_to(result)
    result.wrong += [f"left behind: {segment}" for segment in segments_of(served.session)]
    return result


def kill_supervised(count: int, rng: np.random.Generator) -> Result:
    """The same, where the service's supervisor sees the fall and starts the next one."""
    result = Result(fault="kill -9 of a supervised server")
    with Served(start=False) as served:
        while result.tried < count:
            begun_ns = time.monotonic_ns()
            with supervised(served):
                served.watches[0].right_after(begun_ns)
                for _ in range(min(FALLS_A_SUPERVISOR, count - result.tried)):
                    time.sleep(rng.uniform(0, LONGEST_LIFE_S))
                    result.tried += 1
                    killed_ns = time.monotonic_ns()
                    os.kill(server_pid(served.session), KILL)
                    served.recovered(result, since_ns=killed_ns)
        served.add_to(result)
    return result


@contextmanager
def supervised(served: Served) -> Iterator[None]:
    """The server of these options under a supervisor, ended in the end."""
    log, over = LogFile(served.folder / "service.log"), threading.Event()
    command = serve_command([str(option) for option in served.options])
    supervisor = Supervisor(command, log=log, first_wait_s=FIRST_WAIT_S)
    thread = threading.Thread(target=supervisor.run, args=(over,), name="fault-supervisor")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        log.close()


def server_pid(session: str) -> int:
    """The process that has the session."""
    return until(lambda: Directory.attach(session).server_pid)
