"""A check of the suite, its result, and the error that fails it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptmatte.errors import PromptMatteError

if TYPE_CHECKING:
    from promptmatte.conformance.room import Room

SHOWN_CHARS = 300


class CheckFailedError(PromptMatteError, AssertionError):
    """A candidate did not do what the protocol says."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}; got {got}")
        self.expected = expected
        self.got = got


def shortened(value: object) -> str:
    """The value as a result shows it."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 3]}..."


def expect(what: str, wanted: object, got: object) -> None:
    """CheckFailedError unless what came is what was wanted."""
    if wanted != got:
        raise CheckFailedError(f"{what}: {shortened(repr(wanted))}", shortened(repr(got)))


class Deadline:
    """The end of the time that a check has."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_s = limit_s
        self._clock = clock
        self._end_s = clock() + limit_s

    @property
    def left_s(self) -> float:
        """Seconds until then; 0 when it has passed."""
        return max(0.0, self._end_s - self._clock())


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that a candidate must do. run raises CheckFailedError when it does not."""

    name: str
    about: str
    run: Callable[[Room], None]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """How a check went; expected and got are empty when it passed."""

    name: str
    about: str
    passed: bool
    expected: str = ""
    got: str = ""


def checks_of(group: str, runs: Iterable[Callable[[Room], None]]) -> tuple[Check, ...]:
    """The checks of these functions: named after them, described by their docstrings."""
    return tuple(
        Check(
            name=f"{group}.{run.__name__.replace('_', '-')}",
            about=(run.__doc__ or "").strip().split("\n")[0],
            run=run,
        )
        for run in runs
    )
