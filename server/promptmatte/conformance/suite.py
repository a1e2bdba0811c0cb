"""All checks, run against a candidate."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from promptmatte.conformance import (
    checks_damage,
    checks_frames,
    checks_mailbox,
    checks_mattes,
    checks_senders,
    checks_session,
    checks_tickets,
)
from promptmatte.conformance.check import Check, CheckFailedError, CheckResult
from promptmatte.conformance.room import Room
from promptmatte.errors import ConfigError

CHECKS: tuple[Check, ...] = (
    *checks_session.CHECKS,
    *checks_frames.CHECKS,
    *checks_mattes.CHECKS,
    *checks_tickets.CHECKS,
    *checks_damage.CHECKS,
    *checks_mailbox.CHECKS,
    *checks_senders.CHECKS,
)
DEFAULT_LIMIT_S = 20.0
DEFAULT_JOBS = 4
"""Checks run at once: most wait for something most of the time."""


def chosen(names: Collection[str]) -> tuple[Check, ...]:
    """The checks of these names or groups, all without any; ConfigError for an unknown one."""
    known = {check.name for check in CHECKS} | {_group(check) for check in CHECKS}
    for name in names:
        if name not in known:
            groups = ", ".join(dict.fromkeys(_group(check) for check in CHECKS))
            raise ConfigError(f"expected a check of --list or a group of {groups}; got {name!r}")
    return tuple(
        check for check in CHECKS if not names or check.name in names or _group(check) in names
    )


def _group(check: Check) -> str:
    return check.name.partition(".")[0]


def run_suite(
    command: Sequence[str],
    checks: Sequence[Check] = CHECKS,
    *,
    limit_s: float = DEFAULT_LIMIT_S,
    jobs: int = DEFAULT_JOBS,
) -> Iterator[CheckResult]:
    """The result of every check, in their order, each as soon as it and those before it are done.

    limit_s: the time of one check; a candidate that does nothing fails it, and the next begins.
    ConfigError if the command cannot be run.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix="conformance-check") as pool:
        runs = [pool.submit(run_check, check, command, limit_s) for check in checks]
        try:
            for run in runs:
                yield run.result()
        finally:
            pool.shutdown(cancel_futures=True)


def run_check(check: Check, command: Sequence[str], limit_s: float) -> CheckResult:
    """How a check goes with a candidate of its own; ConfigError if that cannot be run."""
    try:
        with Room(command, limit_s) as room:
            check.run(room)
    except CheckFailedError as error:
        fault = error
    except ConfigError:
        raise
    except Exception as error:
        logging.getLogger(__name__).debug("%s broke off", check.name, exc_info=True)
        fault = CheckFailedError("a check that can be made", f"{type(error).__name__}: {error}")
    else:
        return CheckResult(name=check.name, about=check.about, passed=True)
    return CheckResult(
        name=check.name, about=check.about, passed=False, expected=fault.expected, got=fault.got
    )
