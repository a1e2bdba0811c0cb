"""An hour of one show: does the server stay as it was?

    python -m benchmarks.soak [--minutes 60] [--source test:] [--json FILE]

A real `promptmatte serve` with one prompt and both links, at each of which a process reads every
matte: 960x540 at 30 frames a second from the test pictures. Memory, open files, threads and shared
memory of the server are looked at every ten seconds; the latency is that of each reader, by ten
minutes, from the capture of the frame to its matte in hand. Memory must not grow by more than
MOST_MB_AN_HOUR after the first five minutes, which a run of less than fifteen minutes cannot tell
(it has the slope of its second half, unjudged). Linux only.

Prints JSON; the exit code is 1 if anything that is judged is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptmatte.bench.report import STDOUT, Report, Table
from promptmatte.links import open_client_link

from benchmarks.footprint import Footprint
from benchmarks.processes import (
    at_work,
    free_port,
    free_session,
    segments_of,
    serving,
    started,
    status_of,
)

LINKS = ("shm", "zmq")
SAMPLE_S = 10.0
PART_S = 600.0
SETTLED_S = 300.0
MOST_MB_AN_HOUR = 10.0
MOST_MORE = 2
"""Files or threads that may have come since the first five minutes: a request under way."""


class Soak:
    """The server and its readers, looked at for so long."""

    def __init__(self, seconds: float, source: str, folder: Path) -> None:
        self._seconds = seconds
        self._source = source
        self._log = folder / "log"
        self._session = free_session()
        zmq = f"zmq:tcp://127.0.0.1:{free_port()}"
        self._addresses = dict(zip(LINKS, (f"shm:{self._session}", zmq), strict=True))
        self.usage = Footprint()
        self.segments: list[list[str]] = []
        self.parts: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """What was measured and how it is judged, as JSON values."""
        outs = [word for address in self._addresses.values() for word in ("--out", address)]
        with (
            serving(
                self._log, "--source", self._source, "--prompt", "person", *outs, threads=None
            ) as server,
            ExitStack() as stack,
        ):
            at_work(server, self._addresses["shm"], self._log)
            readers = {
                name: stack.enter_context(
                    started("-m", "benchmarks.link_reader", address, 1,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                )
                for name, address in self._addresses.items()
            }  # fmt: skip
            control = open_client_link(self._addresses["zmq"])
            stack.callback(control.close)
            before = status_of(control)
            self._look(server.pid, readers)
            status = status_of(control)
            seen = {
                name: json.loads(reader.communicate("")[0].splitlines()[-1])
                for name, reader in readers.items()
            }
        return self._report(before, status, seen)

    def _look(self, pid: int, readers: dict[str, subprocess.Popen[str]]) -> None:
        """Samples until the time is over; the readers tell about each part."""
        begun_s = time.monotonic()
        part_s = min(PART_S, self._seconds / 2)
        while (lasted_s := time.monotonic() - begun_s) < self._seconds:
            self.usage.sample(pid)
            self.segments.append(segments_of(self._session))
            if lasted_s >= part_s * (len(self.parts) + 1):
                self._ask(readers)
            time.sleep(min(SAMPLE_S, self._seconds / 6))
        self._ask(readers)

    def _ask(self, readers: dict[str, subprocess.Popen[str]]) -> None:
        told = {}
        for name, reader in readers.items():
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write("\n")
            reader.stdin.flush()
            told[name] = json.loads(reader.stdout.readline())
        self.parts.append(told)

    def _report(
        self, before: dict[str, Any], status: dict[str, Any], seen: dict[str, Any]
    ) -> dict[str, Any]:
        usage, seconds = self.usage, self.usage.at_s[-1] - self.usage.at_s[0]
        settled_s = min(SETTLED_S, seconds / 2)
        settled = sum(at_s - usage.at_s[0] < settled_s for at_s in usage.at_s)
        slope = 60 * usage.rss_mb_a_minute(settled_s)
        judged = {
            "files are flat": max(usage.files) - usage.files[settled] <= MOST_MORE,
            "threads are flat": max(usage.threads) - usage.threads[settled] <= MOST_MORE,
            "segments are the same": all(now == self.segments[settled]
                                         for now in self.segments[settled:]),
            "none left behind": segments_of(self._session) == [],
            "no matte out of order": not any(one["backwards"] for one in seen.values()),
            "no matte of a wrong size": not any(one["wrong_size"] for one in seen.values()),
            "no matte rejected": not any(one["rejected"] for one in seen.values()),
            "no error": status["errors"] is None and "Traceback" not in self._log.read_text(),
        }  # fmt: skip
        if seconds >= SETTLED_S + PART_S:
            judged["memory is flat"] = slope <= MOST_MB_AN_HOUR
        return {
            "seconds": round(seconds, 1),
            "mattes_a_second": round((status["mattes_out"] - before["mattes_out"]) / seconds, 2),
            "rss_mb_an_hour": round(slope, 2),
            "usage": usage.report(),
            "samples": asdict(usage) | {"segments": [len(names) for names in self.segments]},
            "parts": self.parts,
            "readers": seen,
            "dropped": status["dropped"],
            "judged": judged,
            "good": all(judged.values()),
        }


def report(measured: dict[str, Any], command: str) -> Report:
    """What docs/benchmarks.md is made of, and the values as they were measured."""
    usage, parts = measured["usage"], measured["parts"]
    values = [
        ["length, s", measured["seconds"]],
        ["mattes a second", measured["mattes_a_second"]],
        ["memory, first and last, MB", "{} and {}".format(*usage["rss_mb"])],
        ["memory, slope after the start, MB an hour", measured["rss_mb_an_hour"]],
        ["open files, first and last", "{} and {}".format(*usage["files"])],
        ["threads, first and last", "{} and {}".format(*usage["threads"])],
    ]
    latencies = [
        [number, name, told["mattes"], told["p50_ms"], told["p99_ms"], told["backwards"],
         told["wrong_size"], told["torn"]]
        for number, part in enumerate(parts, 1) for name, told in part.items()
    ]  # fmt: skip
    return Report(
        command=command,
        title="Soak",
        about=" ".join(str(__doc__).split("\n\n")[2].split()),
        tables=[
            Table(title="The server", columns=["what", "value"], rows=values),
            Table(
                title="What the readers saw, by part of the time",
                columns=["part", "link", "mattes", "latency p50 ms", "latency p99 ms",
                            "out of order", "of a wrong size", "torn reads noticed so far"],
                rows=latencies,
            ),
            Table(
                title="Judged",
                columns=["what", "holds"],
                rows=[[what, "yes" if holds else "no"] for what, holds in
                      measured["judged"].items()],
            ),
        ],
        raw=measured,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it and returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--source", default="test:")
    parser.add_argument("--json", type=Path, default=STDOUT, metavar="FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        measured = Soak(60 * options.minutes, options.source, Path(folder)).run()
    command = " ".join(["python -m benchmarks.soak", *(arguments or sys.argv[1:])])
    report(measured, command).write(options.json)
    return 0 if measured["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
