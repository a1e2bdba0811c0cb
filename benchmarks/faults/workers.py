"""Starts the processes of worker.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.processes import started

MODULE = "benchmarks.faults.worker"


@contextmanager
def worker(role: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process in this role, once it is ready; ended in the end."""
    with started(
        "-m", MODULE, role, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"expected a {role} that is ready; got one that ended")
        yield process


def told_at_end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a reader saw, told once its input ends."""
    told: dict[str, Any] = json.loads(process.communicate(timeout=60)[0].splitlines()[-1])
    return told
