"""All kinds of faults: what does them, and how many of each make a full run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.faults import crowds, inner, kills, pauses, ports, servers, sources, torn
from benchmarks.faults.result import Result
from benchmarks.faults.served import Served


@dataclass(frozen=True, kw_only=True)
class Kind:
    """function: does so many, at moments that a generator gives. served: they are done
    to a server at work, which it gets. possible: on this system."""

    function: Callable[..., Result]
    count: int
    served: bool = False
    possible: bool = True

    def run(self, count: int, seed: int, served: Served | None = None) -> Result:
        """So many faults, to a server that is at work already, if it needs one and one is given."""
        rng = np.random.default_rng(seed)
        if not self.served:
            return self.function(count, rng)
        if served is not None:
            return self.function(count, rng, served)
        with Served() as own:
            return self.function(count, rng, own)


KINDS = {
    "kill-server": Kind(function=servers.kill_servers, count=200),
    "kill-supervised": Kind(function=servers.kill_supervised, count=40),
    "kill-writer": Kind(function=kills.kill_writers, count=200),
    "kill-reader": Kind(function=kills.kill_readers, count=200),
    "kill-recorder": Kind(function=kills.kill_recorders, count=200),
    "torn": Kind(function=torn.tear_in_turn, count=100_000),
    "torn-race": Kind(function=torn.tear_in_a_race, count=100_000),
    "pause-server": Kind(
        function=pauses.pause_servers, count=60, served=True, possible=pauses.PAUSES_ARE_POSSIBLE
    ),
    "pause-writer": Kind(
        function=pauses.pause_writers, count=100, possible=pauses.PAUSES_ARE_POSSIBLE
    ),
    "pause-reader": Kind(
        function=pauses.pause_readers, count=100, possible=pauses.PAUSES_ARE_POSSIBLE
    ),
    "source": Kind(function=sources.lose_sources, count=60, served=True),
    "change-second": Kind(function=sources.change_every_second, count=60),
    "change-frame": Kind(function=sources.change_every_frame, count=30),
    "prompts-shm": Kind(function=crowds.change_prompts_by_mailbox, count=60, served=True),
    "prompts-zmq": Kind(function=crowds.change_prompts_by_zmq, count=60, served=True),
    "readers": Kind(function=crowds.crowd_readers, count=16, served=True),
    "clock": Kind(function=inner.jump_clocks, count=60),
    "disk": Kind(function=inner.fill_the_disk, count=60),
    "log": Kind(function=inner.fill_the_log, count=10, possible=inner.FULL.exists()),
    "port": Kind(function=ports.steal_before_start, count=20, served=True),
    "port-between": Kind(function=ports.steal_between_starts, count=10),
    "memory": Kind(function=inner.run_out_of_memory, count=100),
    "frame": Kind(function=inner.fail_frames, count=200),
    "memory-step": Kind(function=inner.step_down, count=10),
}
"""By the name that --only has for it."""
