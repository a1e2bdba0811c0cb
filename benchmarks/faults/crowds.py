"""Many readers, slow and stuck ones among them, and prompts that change all the time."""

from __future__ import annotations

import time
from contextlib import ExitStack

import numpy as np

from benchmarks.faults.pauses import PAUSES_ARE_POSSIBLE, go_on, stop
from benchmarks.faults.result import Result
from benchmarks.faults.served import Served
from benchmarks.faults.workers import told_at_end, worker

SLOW_REST_S = 0.5
COUNT_S = 2.0
PROGRAMS = 3
LAST = "the last prompt"


def crowd_readers(count: int, rng: np.random.Generator, served: Served) -> Result:
    """So many readers, on both links in turn, every other one slow, the others stuck (stopped
    wherever they are). Recovered: those during whose presence both watches had a new right matte;
    the note has the server's mattes a second before and with the crowd."""
    result = Result(fault="slow and stuck readers")
    with ExitStack() as stack:
        alone = _mattes_a_second(served)
        stuck = []
        for number in range(count):
            rest_s = 0.0 if number % 2 else SLOW_REST_S
            address = served.addresses[number // 2 % 2]
            reader = stack.enter_context(worker("read", address, 0, rest_s))
            result.tried += 1
            if not rest_s and PAUSES_ARE_POSSIBLE:
                time.sleep(rng.uniform(0, 0.05))
                stop(reader)
                stuck.append(reader)
            served.recovered(result, since_ns=time.monotonic_ns())
        crowded = _mattes_a_second(served)
        for reader in stuck:
            go_on(reader)
        result.note = f"{alone:.1f} mattes a second before, {crowded:.1f} with {count} of them"
        served.add_to(result)
    return result


def _mattes_a_second(served: Served) -> float:
    before, begun_s = served.status()["mattes_out"], time.monotonic()
    time.sleep(COUNT_S)
    return float((served.status()["mattes_out"] - before) / (time.monotonic() - begun_s))


def change_prompts_by_mailbox(count: int, _rng: np.random.Generator, served: Served) -> Result:
    """For so many seconds by shared memory."""
    return _change_prompts(count, served, 0, "prompt changes by shared memory")


def change_prompts_by_zmq(count: int, _rng: np.random.Generator, served: Served) -> Result:
    """For so many seconds by ZeroMQ."""
    return _change_prompts(count, served, 1, "prompt changes by ZeroMQ")


def _change_prompts(seconds: int, served: Served, link: int, fault: str) -> Result:
    """Three programs change the prompts as fast as they are answered. Tried: changes; recovered:
    those that were taken, provided that mattes went on each second and the prompt that is set last
    is the one that shows."""
    result = Result(fault=fault)
    with ExitStack() as stack:
        address = served.addresses[link]
        programs = [stack.enter_context(worker("prompt", address)) for _ in range(PROGRAMS)]
        begun_s = time.monotonic()
        going_on = True
        for _ in range(seconds):
            since_ns = time.monotonic_ns()
            time.sleep(1.0)
            going_on &= all(watch.right_after(since_ns) for watch in served.watches)
        told = [told_at_end(program) for program in programs]
        lasted_s = time.monotonic() - begun_s
    taken = sum(program["taken"] for program in told)
    result.tried = taken + sum(program["refused"] for program in told)
    result.recovered = taken if going_on and _shows_the_last(served, link, result) else 0
    result.note = f"{result.tried / lasted_s:.0f} changes a second"
    served.add_to(result)
    return result


def _shows_the_last(served: Served, link: int, result: Result) -> bool:
    """Sets a last prompt; whether it shows on both links and is what the server says it has."""
    begun_s = time.monotonic()
    reply = served.watches[link].link.request(
        {"command": "prompt", "prompts": [{"text": LAST}]}, timeout_s=30.0
    )
    version = reply["prompts_version"]
    served.until_status(
        lambda _: all(
            watch.newest and watch.newest.prompts_version == version for watch in served.watches
        )
    )
    result.recover_ms.append(1e3 * (time.monotonic() - begun_s))
    return [prompt["text"] for prompt in served.status()["prompts"]] == [LAST]
