"""One target under atheris, in a process of its own: python -m benchmarks.fuzz.worker TARGET ...

What a case raises beside the project's own errors is kept once per place in the code, and the
fuzzing goes on. A case that hangs or takes too much memory ends the process; libFuzzer keeps it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import atheris

CASE_S = 20
MEMORY_MB = 2048
STRUCTURED = 0.7
"""Share of the changes that are the target's own, where it has some."""


class Findings:
    """Inputs that raised what they must not, the first for each kind and place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()

    def keep(self, data: bytes, error: BaseException) -> None:
        """Writes the input, and beside it what it did, unless the like is known."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
        if where in self._known:
            return
        self._known.add(where)
        name = hashlib.sha256(data).hexdigest()[:12]
        (self._folder / f"{name}.bin").write_bytes(data)
        text = "".join(traceback.format_exception(error))[-4000:]
        said = {"what": where, "input": f"{name}.bin", "traceback": text}
        (self._folder / f"{name}.json").write_text(json.dumps(said), encoding="utf-8")


def main() -> None:
    """Fuzzes until the cases or the seconds are used up; atheris ends the process."""
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz.worker")
    parser.add_argument("target")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=-1)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with atheris.instrument_imports(include=["promptmatte", "promptmatte_shm"]):
        module = importlib.import_module(f"benchmarks.fuzz.{options.target}")
        own_errors: tuple[type[BaseException], ...] = importlib.import_module(
            "benchmarks.fuzz.target"
        ).OWN_ERRORS
    target = module.TARGET
    for number, seed in enumerate(target.seeds()):
        (options.corpus / f"seed{number}").write_bytes(seed)
    findings = Findings(options.findings)

    def one(data: bytes) -> None:
        try:
            target.run(data)
        except own_errors:
            pass
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            findings.keep(data, error)

    libfuzzer = [
        "fuzz", str(options.corpus), f"-runs={options.cases}", f"-seed={options.seed}",
        f"-max_total_time={options.seconds}", f"-max_len={target.most_bytes}",
        f"-timeout={CASE_S}", f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={options.findings}/", "-print_final_stats=1",
    ]  # fmt: skip
    own = {"custom_mutator": _mutator(target.mutate)} if target.mutate else {}
    atheris.Setup(libfuzzer, one, **own)
    atheris.Fuzz()


def _mutator(mutate: Callable[[bytes, Random], bytes]) -> Any:
    def changed(data: bytes, most_bytes: int, seed: int) -> bytes:
        chance = Random(seed)
        if chance.random() < STRUCTURED:
            return mutate(data, chance)[:most_bytes]
        return bytes(atheris.Mutate(data, most_bytes))

    return changed


if __name__ == "__main__":
    main()
