"""What every source can do."""

from __future__ import annotations

from typing import Protocol

from promptmatte.frame import Frame


class Source(Protocol):
    """Live frames. The constructor opens it and raises SourceError when it cannot."""

    @property
    def name(self) -> str:
        """The source as typed, without credentials."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame when it is due; None when none came in time.

        Raises SourceError when the source is lost (the caller opens a new one) and
        SourceEnded at the end of one that does not loop.
        """
        ...

    def close(self) -> None:
        """Frees the device or file; safe to call twice."""
        ...
