"""Does to real processes what a show has to live through, and looks at every matte meanwhile.

    python -m benchmarks.faults [--only NAME ...] [--scale 1.0] [--seed N] [--json FILE]

At scale 1 each process is killed 200 times and 100,000 writes are torn, twice over; this takes
hours on two cores. Faults come at random moments that follow from the seed. Prints a row a kind as
it is done and writes FILE anew, so that a run that is cut short keeps what it has; the exit code
is 1 if any fault was not recovered from or any matte was wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from promptmatte.bench.report import Report, Table

from benchmarks.faults.kinds import KINDS, Kind
from benchmarks.faults.result import COLUMNS, Result

ABOUT = (
    "Faults are done to real processes, sockets and shared memory. Readers that are never opened "
    "again compare every matte with what its number says it must be: alpha and fill byte for byte "
    "where a writer without a model makes them, the fill (the frame itself) and the size where it "
    "is the real server, and the order. Recovery is the time from the end of a fault, or from a "
    "kill, to the first right matte of a frame captured after it."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the kinds and returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.faults", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=sorted(KINDS), metavar="NAME",
                        help=f"of {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--scale", type=float, default=1.0, help="share of the faults, 1 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    command = " ".join(["python -m benchmarks.faults", *(arguments or sys.argv[1:])])
    results: list[Result] = []
    for name, kind in KINDS.items():
        if (options.only and name not in options.only) or not kind.possible:
            continue
        results.append(told(run(kind, options.scale, options.seed)))
        if options.json:
            report(results, command, options.only or ()).write(options.json)
    return 0 if results and all(result.good for result in results) else 1


def run(kind: Kind, scale: float, seed: int) -> Result:
    """So large a share of a kind's faults, one at least."""
    return kind.run(max(1, round(kind.count * scale)), seed)


def told(result: Result) -> Result:
    """The same, printed."""
    print(f"{time.strftime('%H:%M:%S')} {'ok  ' if result.good else 'FAIL'} "
          f"{dict(zip(COLUMNS, result.row(), strict=True))}", flush=True)  # fmt: skip
    for fault in result.wrong[:5]:
        print(f"    {fault}", flush=True)
    return result


def report(results: Sequence[Result], command: str, only: Sequence[str]) -> Report:
    """What docs/benchmarks.md is made of, and what was wrong. only: the kinds that were chosen."""
    return Report(
        command=command,
        title=f"Faults: {', '.join(only)}" if only else "Faults",
        about=ABOUT,
        tables=[Table(title="Faults", columns=COLUMNS, rows=[r.row() for r in results])],
        raw={
            "wrong": {result.fault: result.wrong for result in results if result.wrong},
            "good": all(result.good for result in results),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
