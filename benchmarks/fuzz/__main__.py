"""Fuzzes everything that reads what others wrote, and says what came out that must not.

    python -m benchmarks.fuzz [TARGET ...] [--cases 1000000] [--seconds N] [--seed 1]
        [--findings DIR] [--json FILE]

Targets: wire, mailbox, ring, touch, osc, config, pictures, video; without any, all. Every target
runs in a process of its own under atheris, guided by the project's own coverage (not that of
FFmpeg or OpenCV), from valid inputs on. A finding is anything raised but the project's own errors,
a case of more than 20 s, or a process of more than 2 GB; its input is kept in DIR. The cases are
shared out by what one costs. With --seconds each target has so long instead. Exit status 1 with
findings. Needs Linux and the development dependencies.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from promptmatte.bench.report import Report, Table
from rich.console import Console

from .campaign import SHARES, Outcome, fuzzed, shared


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it and returns the exit status: 0, 1 with findings, 2 where there is no atheris."""
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("targets", nargs="*", choices=[*SHARES, []], metavar="TARGET")
    parser.add_argument("--cases", type=int, default=1_000_000, metavar="N", help="of all targets")
    parser.add_argument("--seconds", type=int, metavar="N", help="each target, in place of --cases")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    if importlib.util.find_spec("atheris") is None:
        console.print("expected atheris, which needs Linux: python -m uv sync")
        return 2
    targets = options.targets or list(SHARES)
    cases = shared(options.cases, targets)
    outcomes = []
    for target in targets:
        limits = {"seconds": options.seconds} if options.seconds else {"cases": cases[target]}
        outcome = fuzzed(target, findings=options.findings, seed=options.seed, **limits)
        console.print(
            f"{target}: {outcome.cases} cases in {outcome.seconds} s, {outcome.edges} edges "
            f"({outcome.edges_of_seeds} by the seeds), {len(outcome.findings)} findings",
            highlight=False,
        )
        for finding in outcome.findings:
            console.print(f"  {finding['what']}: {finding.get('input')}", highlight=False)
        outcomes.append(outcome)
    if options.json:
        _report(outcomes, options).write(options.json)
    total = sum(len(outcome.findings) for outcome in outcomes)
    console.print(f"{sum(o.cases for o in outcomes)} cases, {total} findings", highlight=False)
    return 1 if total else 0


def _report(outcomes: Sequence[Outcome], options: argparse.Namespace) -> Report:
    rows = [
        [o.target, o.cases, o.seconds, o.edges_of_seeds, o.edges, o.corpus, len(o.findings)]
        for o in outcomes
    ]
    how_long = f"--seconds {options.seconds}" if options.seconds else f"--cases {options.cases}"
    command = ["python -m benchmarks.fuzz", *options.targets, how_long, f"--seed {options.seed}"]
    return Report(
        command=" ".join(command),
        title="Hostile input",
        about=(
            "Mutated inputs, guided by the coverage of the project's own code (atheris), each "
            "target in a process of its own. A finding is anything raised but the project's own "
            "errors, a case of more than 20 s, or a process of more than 2 GB."
        ),
        tables=[
            Table(
                title="By input",
                columns=[
                    "input",
                    "cases",
                    "s",
                    "edges by the seeds",
                    "edges",
                    "corpus",
                    "findings",
                ],
                rows=rows,
            )
        ],
        raw={"outcomes": [asdict(outcome) for outcome in outcomes]},
    )


if __name__ == "__main__":
    sys.exit(main())
