"""Runs targets, each in a process of its own, and gathers what they found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHARES = {
    "wire": 28, "mailbox": 15, "ring": 12, "touch": 14, "osc": 20, "config": 5, "pictures": 5.5,
    "video": 0.5,
}  # fmt: skip
"""Percent of the cases by target: cheap parsers get many, whole decoders few."""

WORST_CASES_A_S = 50
"""Of the slowest target; a worker that has not come that far is broken off."""

DONE = re.compile(r"Done (\d+) runs in (\d+) second")
COVERAGE = re.compile(r"\bcov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one target came to. edges: places of the project's code that were reached, and those
    reached by the seeds alone. findings: what, input and traceback of each."""

    target: str
    cases: int
    seconds: int
    edges: int
    edges_of_seeds: int
    corpus: int
    findings: list[dict[str, Any]]


def shared(cases: int, targets: list[str]) -> dict[str, int]:
    """How many of the cases each target gets."""
    whole = sum(SHARES[target] for target in targets)
    return {target: max(1, round(cases * SHARES[target] / whole)) for target in targets}


def fuzzed(target: str, *, findings: Path, seed: int, cases: int = -1, seconds: int = 0) -> Outcome:
    """One target's outcome, after so many cases or seconds. Inputs that are findings lie in
    `findings`/TARGET afterwards."""
    folder = findings / target
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    with tempfile.TemporaryDirectory(prefix="promptmatte-fuzz-") as corpus:
        command = [
            sys.executable, "-m", "benchmarks.fuzz.worker", target, f"--corpus={corpus}",
            f"--findings={folder}", f"--cases={cases}", f"--seconds={seconds}", f"--seed={seed}",
        ]  # fmt: skip
        limit_s = 120 + seconds + max(cases, 0) / WORST_CASES_A_S
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit_s, check=False
        )
    log = done.stdout.decode(errors="replace")
    new = sorted(set(folder.iterdir()) - before)
    found = [json.loads(path.read_text()) for path in new if path.suffix == ".json"]
    found += [_ended_by(path, log) for path in new if path.suffix == ""]
    if done.returncode and not found:
        found.append({"what": f"ended with {done.returncode}", "traceback": log[-2000:]})
    ran, covered = DONE.search(log), COVERAGE.findall(log)
    return Outcome(
        target=target,
        cases=int(ran[1]) if ran else 0,
        seconds=int(ran[2]) if ran else 0,
        edges=int(covered[-1][0]) if covered else 0,
        edges_of_seeds=int(covered[0][0]) if covered else 0,
        corpus=int(covered[-1][2]) if covered else 0,
        findings=found,
    )


def _ended_by(path: Path, log: str) -> dict[str, Any]:
    """The finding of an input that ended the process: a hang, too much memory, a crash."""
    return {"what": path.name.partition("-")[0], "input": path.name, "traceback": log[-2000:]}
