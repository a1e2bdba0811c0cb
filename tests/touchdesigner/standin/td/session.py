"""The running project: time, what is cooking, what was handed out. One at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import refuse
from .stopwatch import STANDIN, Stopwatch
from .textport import Textport

if TYPE_CHECKING:
    from .component import COMP
    from .operators import OP
    from .par import Slot
    from .run import Run

TIMELINE_FRAMES = 600
"""Length of the default timeline; Execute DATs are told its frame, which loops."""


@dataclass(frozen=True, kw_only=True)
class CallbackError:
    """A callback that raised. TouchDesigner prints it to the Textport and goes on."""

    path: str
    function: str
    error: Exception
    text: str


@dataclass(eq=False)
class Session:
    """build: 2023 or 2025. cuda: whether TOP.cudaMemory works, with ordinary memory for it."""

    folder: str
    build: int
    rate: float
    cuda: bool
    frame: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    root: COMP = field(init=False)
    listed: dict[str, tuple[int, list[Any]]] = field(default_factory=dict)
    """Operators of a type, and the structure they were listed at."""
    next_id: int = 1
    structure: int = 0
    """Changes whenever operators come, go or are renamed."""
    cooking: list[OP] = field(default_factory=list)
    me: list[OP] = field(default_factory=list)
    compiling: list[COMP] = field(default_factory=list)
    modules_used: list[Any] = field(default_factory=list)
    handed: list[np.ndarray] = field(default_factory=list)
    inits: list[Any] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    pulses: deque[Slot] = field(default_factory=deque)
    errors: list[CallbackError] = field(default_factory=list)
    shared_memory: dict[str, np.ndarray] = field(default_factory=dict)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    textport: Textport = field(default_factory=Textport)

    @property
    def timeline_frame(self) -> int:
        """1 to TIMELINE_FRAMES."""
        return (self.frame - 1) % TIMELINE_FRAMES + 1

    def new_id(self) -> int:
        """Another operator id."""
        self.next_id += 1
        return self.next_id

    @contextmanager
    def as_me(self, operator: OP) -> Iterator[None]:
        """Scripts inside have operator as their me."""
        self.me.append(operator)
        try:
            yield
        finally:
            self.me.pop()

    def inside(self) -> Any:
        """Counts what is done inside as the stand-in's own time."""
        return self.stopwatch.of(STANDIN)


class _Current:
    session: Session | None = None


def open_session(session: Session | None) -> None:
    """Makes a session the running one; None for no session."""
    _Current.session = session


def current() -> Session:
    """The running session."""
    if _Current.session is None:
        refuse("no project is running: make a td_bench.Bench first")
    return _Current.session
