"""Faults within a server's own process: clocks that jump, no memory, a full disk."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from promptmatte.clock import RealClock
from promptmatte.recording.recorder import Recorder
from promptmatte.recording.target import RecordingTarget

from benchmarks.faults.recorded import SmallDisk, number_in, pair, read_video
from benchmarks.faults.result import Result
from benchmarks.faults.served import Served
from benchmarks.faults.struck import TOLD
from benchmarks.processes import PATIENCE_S, until

FULL = Path("/dev/full")
LEAST_ROOM_BYTES, MOST_ROOM_BYTES = 30_000, 600_000


def jump_clocks(count: int, rng: np.random.Generator) -> Result:
    """The clocks of a real server jump: what it reads of time.time and time.monotonic."""
    result = Result(fault="clock jumps of hours and days")
    with Served(entry=_struck("jumping_clocks", rng)) as served:
        _follow(served, result, count)
    return result


def run_out_of_memory(count: int, rng: np.random.Generator) -> Result:
    """torch.OutOfMemoryError in two of five encodes, with the embedded model, below which there
    is no smaller one: it goes on with each encode that succeeds."""
    result = Result(fault="out of memory in an encode")
    with Served(entry=_struck("short_memory", rng)) as served:
        _follow(served, result, count)
        served.until_status(lambda status: status["errors"] is None)
        result.note = f"then with {served.status()['model']}"
    return result


def fail_frames(count: int, rng: np.random.Generator) -> Result:
    """Errors in the matte loop, of a correction or of edges: each costs its frame alone."""
    result = Result(fault="error in a frame")
    with Served(entry=_struck("failing_frames", rng)) as served:
        _follow(served, result, count)
    return result


def step_down(count: int, rng: np.random.Generator) -> Result:
    """The same with another model: after two errors in a row a smaller one is loaded."""
    result = Result(fault="out of memory twice running", note="recovery: the smaller model works")
    for _ in range(count):
        with Served("--model", "mobile-sam", entry=_struck("short_memory", rng)) as served:
            result.tried += 1
            begun_ns = time.monotonic_ns()
            status = served.until_status(lambda told: told["model"] == "embedded")
            since_ns = time.monotonic_ns()
            if "out of memory" in status["notice"] and served.recovered(result, since_ns=since_ns):
                result.recover_ms[-1] = (since_ns - begun_ns) / 1e6
            served.add_to(result)
    return result


def _struck(kind: str, rng: np.random.Generator) -> tuple[str, ...]:
    return ("-m", "benchmarks.faults.struck", kind, str(int(rng.integers(2**31))))


def _follow(served: Served, result: Result, count: int) -> None:
    """Waits for so many faults that the server tells of, and for mattes after each."""
    while result.tried < count:
        told = until(lambda: _told(served)[result.tried :], PATIENCE_S)
        for moment_ns in told[: count - result.tried]:
            result.tried += 1
            served.recovered(result, since_ns=moment_ns)
    served.add_to(result)


def _told(served: Served) -> list[int]:
    words = [line.split() for line in served.said().splitlines() if line.startswith(TOLD)]
    return [int(parts[1]) for parts in words if len(parts) == 2]


def fill_the_disk(count: int, rng: np.random.Generator) -> Result:
    """Recordings on a disk that is full after 30 to 600 KB, in the middle of a write. Recovered:
    the error names it, the file can be read up to there, and with room again the next recording
    is whole."""
    result = Result(fault="disk full while recording")
    for _ in range(count):
        with tempfile.TemporaryDirectory() as folder:
            room_bytes = [int(rng.integers(LEAST_ROOM_BYTES, MOST_ROOM_BYTES))]
            target = RecordingTarget(
                path=Path(folder) / "take.mov",
                create=lambda path, room=room_bytes: SmallDisk(path, room[0]),
            )
            recorder = Recorder(target, what="rgba", clock=RealClock())
            result.tried += 1
            error = _record(recorder, until_state="failed")
            room_bytes[0] = 2**30
            begun_s = time.monotonic()
            _record(recorder, until_state="recording", least=20)
            recorder.close()
            cut, whole = (_numbers(Path(folder) / name) for name in ("take.mov", "take-2.mov"))
            result.looked_at += len(cut) + len(whole)
            for numbers in (cut, whole):
                result.wrong += [f"picture {n} at {at}" for at, n in enumerate(numbers) if n != at]
            if "No space left" in error and len(whole) >= 20:
                result.recovered_after(1e3 * (time.monotonic() - begun_s))
    result.note = "recovery: until the next recording is finished and read back"
    return result


def _record(recorder: Recorder, *, until_state: str, least: int = 0) -> str:
    """Records numbered pictures until a state, and at least so many of them; its error."""
    recorder.switch(True)
    for seq in range(256):
        recorder.offer(*pair(seq, captured_ns=time.monotonic_ns()))
        time.sleep(0.005)
        status = recorder.status()
        if status["state"] == until_state and status["frames"] >= least:
            return str(status["error"])
    return ""


def _numbers(path: Path) -> list[int]:
    return [number_in(rgba[..., 3]) for _, rgba in read_video(path)] if path.exists() else []


def fill_the_log(count: int, rng: np.random.Generator) -> Result:
    """A real server that records, whose log is a full disk and whose recording meets one too."""
    result = Result(fault="log and recording on a full disk")
    for _ in range(count):
        _one_full_server(result, rng)
    return result


def _one_full_server(result: Result, rng: np.random.Generator) -> None:
    with tempfile.TemporaryDirectory() as folder:
        take = Path(folder) / "take.mov"
        with Served("--record", take, entry=_struck("small_disk", rng), log=FULL) as served:
            result.tried += 1
            status = served.until_status(lambda told: told["recording"]["state"] == "failed")
            told = status["recording"]["error"]
            begun_ns = time.monotonic_ns()
            if str(take) in told and "check the disk" in told:
                served.recovered(result, since_ns=begun_ns)
            served.add_to(result)
