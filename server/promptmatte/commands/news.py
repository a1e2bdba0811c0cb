"""Lines for people while the show runs."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console


def say(console: Console, line: str) -> None:
    """Prints a line as it is. One that cannot be written, as to a log on a full disk, is lost, and
    nothing else."""
    with suppress(OSError):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
