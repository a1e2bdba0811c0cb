"""kill -9 at random moments: of a writer, a reader, a recorder."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import av
import numpy as np

from benchmarks.faults.picture import fault_of_matte
from benchmarks.faults.recorded import number_in, read_video
from benchmarks.faults.result import Result
from benchmarks.faults.watch import Watch
from benchmarks.faults.workers import told_at_end, worker
from benchmarks.processes import free_session, kill, segments_of, until

LONGEST_LIFE_S = 0.1
LONGEST_RECORDING_S = 1.5
LATE_S = 2.0
"""Recorded pictures that a kill may cost: a fragment of the file is as long."""


def kill_writers(count: int, rng: np.random.Generator) -> Result:
    """Writers of 460 KB mattes as fast as they can, one after the other in one session, while
    one reader reads. What the last one leaves is removed by the clean end of a further one."""
    result = Result(fault="kill -9 of the writer")
    name = free_session()
    with Watch(f"shm:{name}", fault_of_matte) as watch:
        killed_ns = time.monotonic_ns()
        for turn in range(count + 1):
            with worker("write", name, 0) as writer:
                came_ns = watch.right_after(killed_ns)
                if turn and came_ns is not None:
                    result.recovered_after((came_ns - killed_ns) / 1e6)
                if turn < count:
                    time.sleep(rng.uniform(0, LONGEST_LIFE_S))
                    result.tried += 1
                    killed_ns = time.monotonic_ns()
                    kill(writer)
                else:
                    writer.communicate("")
    result.looked_at, result.wrong = watch.looked_at, watch.wrong
    result.wrong += [f"left behind: {segment}" for segment in segments_of(name)]
    return result


def kill_readers(count: int, rng: np.random.Generator) -> Result:
    """Readers that also make requests, one after the other, beside one that reads on. Recovered:
    the reader that stays has another right matte, the next one starts, requests are answered."""
    result = Result(fault="kill -9 of a reader")
    name = free_session()
    with worker("write", name, 0.002) as writer, Watch(f"shm:{name}", fault_of_matte) as watch:
        for _ in range(count):
            with worker("read", f"shm:{name}", 1) as reader:
                time.sleep(rng.uniform(0, LONGEST_LIFE_S))
                result.tried += 1
                killed_ns = time.monotonic_ns()
                kill(reader)
            came_ns = watch.right_after(killed_ns)
            if (
                came_ns is not None
                and watch.link.request({"command": "ping"}, timeout_s=10.0)["ok"]
            ):
                result.recovered_after((came_ns - killed_ns) / 1e6)
        with worker("read", f"shm:{name}", 1) as last:
            told = told_at_end(last)
        writer.communicate("")
    result.looked_at = watch.looked_at + told["looked_at"]
    result.wrong = watch.wrong + ["the last reader saw wrong mattes"] * told["wrong"]
    result.wrong += [f"left behind: {segment}" for segment in segments_of(name)]
    return result


def kill_recorders(count: int, rng: np.random.Generator) -> Result:
    """Recorders of numbered pictures. Recovered: the file can be read, from its first picture on
    without a gap, and the next recording gets a name of its own beside it."""
    result = Result(fault="kill -9 of the recorder", note="recovery: reading the file back")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "take.mov"
        for turn in range(count):
            with worker("record", path) as recorder:
                newest = path if turn == 0 else path.with_name(f"take-{turn + 1}.mov")
                until(lambda made=newest: made.exists() and made.stat().st_size > 0)
                time.sleep(LATE_S + rng.uniform(0, LONGEST_RECORDING_S))
                result.tried += 1
                kill(recorder)
            begun_s = time.monotonic()
            numbers = _numbers(newest)
            result.looked_at += len(numbers)
            wrong = [n for place, n in enumerate(numbers) if n != place % 256]
            result.wrong += [
                f"{newest.name}: picture {number} out of its place" for number in wrong
            ]
            if numbers:
                result.recovered_after(1e3 * (time.monotonic() - begun_s))
    return result


def _numbers(path: Path) -> list[int]:
    """What the recorded pictures say they are; none for a file that cannot be read."""
    try:
        return [number_in(rgba[..., 3]) for _, rgba in read_video(path)]
    except av.FFmpegError:
        return []
