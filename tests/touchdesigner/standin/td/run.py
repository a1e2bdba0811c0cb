# ruff: noqa: N803
"""Scripts that run later. Run Class; td Module, run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .dat_code import guarded
from .errors import refuse
from .guard import Guarded
from .scope import names_for
from .session import current

if TYPE_CHECKING:
    from .operators import OP


class Run(Guarded):
    """One delayed run."""

    def __init__(self, body: Callable[[], None], where: OP, group: str, due: float) -> None:
        self._body, self._where, self._group, self._due = body, where, group, due
        self._end_frame = False
        self._active = True

    active = property(lambda run: run._active)
    source = property(lambda run: run._where)

    @property
    def group(self) -> str:
        """Its group."""
        return self._group

    @group.setter
    def group(self, group: str) -> None:
        self._group = group

    @property
    def remainingFrames(self) -> int:  # noqa: N802
        """Frames until it runs."""
        session = current()
        return max(0, round((self._due - session.seconds) * session.rate))

    def kill(self) -> None:
        """Does not run any more."""
        self._active = False

    def _go(self) -> None:
        self._active = False
        guarded(self._body, where=self._where, what="run", me=self._where)


def later(
    body: Callable[[], None], *, where: OP, group: str | None, end_frame: bool, frames: float,
    ms: float,
) -> Run:  # fmt: skip
    """Queues a body: at the end of this frame, or after frames and milliseconds."""
    session = current()
    # A hair early, so that the sum of many steps still reaches it.
    due = session.seconds + frames / session.rate + ms / 1000 - 1e-6
    run = Run(body, where, group or "", due)
    run._end_frame = end_frame and not frames and not ms
    session.runs.append(run)
    return run


def run(
    codeString: str, *args: Any, endFrame: bool = False, fromOP: OP | None = None,
    asParameter: bool = False, group: str | None = None, delayFrames: float = 0,
    delayMilliSeconds: float = 0, delayRef: OP | None = None,
) -> Run:  # fmt: skip
    """Runs a string of code later, with args as its args. td Module, run."""
    if not isinstance(codeString, str):
        refuse(f"run(): expected a string of code; got {codeString!r}")
    session = current()
    node = fromOP or (session.me[-1] if session.me else session.root)

    def body() -> None:
        exec(codeString, {**names_for(node), "args": args})

    return later(
        body, where=node, group=group, end_frame=endFrame, frames=delayFrames,
        ms=delayMilliSeconds,
    )  # fmt: skip


def go_due(*, end_frame: bool) -> None:
    """Runs what is due now."""
    session = current()
    due = [
        run
        for run in session.runs
        if (run._end_frame if end_frame else not run._end_frame and run._due <= session.seconds)
    ]
    session.runs = [run for run in session.runs if run not in due]
    for run in due:
        if run._active and run._where._alive:
            run._go()
