"""promptmatte conformance: whether a program speaks the shared-memory protocol."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from promptmatte.commands.options import Subparsers
from promptmatte.conformance.check import CheckResult
from promptmatte.errors import ConfigError

MAX_JOBS = 16


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """conformance."""
    parser = commands.add_parser(
        "conformance",
        help="check that a client program speaks the shared-memory protocol",
        usage="promptmatte conformance [options] -- CLIENT [ARGS ...]",
        epilog="docs/shm-protocol.md says what the program has to read and write; "
        "`python -m promptmatte.conformance.python_client` is one that passes",
    )
    parser.add_argument("client", nargs="*", metavar="CLIENT [ARGS ...]", help="the program")
    parser.add_argument("--check", action="append", default=[], metavar="NAME",
                        help="only this check or group; may be given again")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the checks and run none")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--time-limit", type=float, default=20.0, metavar="S",
                        help="for each check (default: %(default)g)")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=4, metavar="N",
                        help="checks at once (default: %(default)s)")  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows the results; 1 when a check fails."""
    from promptmatte.conformance.suite import chosen, run_suite

    checks = chosen(arguments.check)
    if arguments.list:
        for check in checks:
            sys.stdout.write(f"{check.name:26} {check.about}\n")
        return 0
    _check_options(arguments)
    results = []
    for result in run_suite(
        arguments.client, checks, limit_s=arguments.time_limit, jobs=arguments.jobs
    ):
        results.append(result)
        if not arguments.json:
            sys.stdout.write(f"{line_of(result)}\n")
            sys.stdout.flush()
    passed = sum(result.passed for result in results)
    ok = passed == len(results)
    if arguments.json:
        told = {
            "ok": ok,
            "client": arguments.client,
            "checks": [asdict(result) for result in results],
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        sys.stdout.write(f"{passed} of {len(results)} checks passed\n")
    return int(not ok)


def line_of(result: CheckResult) -> str:
    """A result as one line."""
    if result.passed:
        return f"pass {result.name:26} {result.about}"
    fault = f"expected {result.expected}; got {result.got}"
    return f"FAIL {result.name:26} {' '.join(fault.split())}"


def _check_options(arguments: argparse.Namespace) -> None:
    if not arguments.client:
        raise ConfigError(
            "expected a program to check; got none: promptmatte conformance -- CLIENT [ARGS ...]"
        )
    if not arguments.time_limit > 0:
        raise ConfigError(f"expected a --time-limit above 0 s; got {arguments.time_limit:g}")
    if not 1 <= arguments.jobs <= MAX_JOBS:
        raise ConfigError(f"expected --jobs of 1 to {MAX_JOBS}; got {arguments.jobs}")
