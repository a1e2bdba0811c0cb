"""All kinds of faults: what does them, and how many of each make a full run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.faults import crowds, inner, kills, pauses, ports, servers, sources, torn
from benchmarks.faults.result import Result


@dataclass(frozen=True, kw_only=True)
class Kind:
    """function: does so many, at moments that a generator gives. possible: on this system."""

    function: Callable[[int, np.random.Generator], Result]
    count: int
    possible: bool = True


KINDS = {
    "kill-server": Kind(function=servers.kill_servers, count=200),
    "kill-supervised": Kind(function=servers.kill_supervised, count=40),
    "kill-writer": Kind(function=kills.kill_writers, count=200),
    "kill-reader": Kind(function=kills.kill_readers, count=200),
    "kill-recorder": Kind(function=kills.kill_recorders, count=200),
    "torn": Kind(function=torn.tear_in_turn, count=100_000),
    "torn-race": Kind(function=torn.tear_in_a_race, count=100_000),
    "pause-server": Kind(
        function=pauses.pause_servers, count=60, possible=pauses.PAUSES_ARE_POSSIBLE
    ),
    "pause-writer": Kind(
        function=pauses.pause_writers, count=100, possible=pauses.PAUSES_ARE_POSSIBLE
    ),
    "pause-reader": Kind(
        function=pauses.pause_readers, count=100, possible=pauses.PAUSES_ARE_POSSIBLE
    ),
    "source": Kind(function=sources.lose_sources, count=60),
    "change-second": Kind(function=sources.change_every_second, count=60),
    "change-frame": Kind(function=sources.change_every_frame, count=30),
    "prompts-shm": Kind(function=crowds.change_prompts_by_mailbox, count=60),
    "prompts-zmq": Kind(function=crowds.change_prompts_by_zmq, count=60),
    "readers": Kind(function=crowds.crowd_readers, count=16),
    "clock": Kind(function=inner.jump_clocks, count=60),
    "disk": Kind(function=inner.fill_the_disk, count=60),
    "log": Kind(function=inner.fill_the_log, count=10, possible=inner.FULL.exists()),
    "port": Kind(function=ports.steal_before_start, count=20),
    "port-between": Kind(function=ports.steal_between_starts, count=10),
    "memory": Kind(function=inner.run_out_of_memory, count=100),
    "memory-step": Kind(function=inner.step_down, count=10),
}
"""By the name that --only has for it."""
