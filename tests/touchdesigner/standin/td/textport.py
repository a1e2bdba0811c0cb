"""The Textport: what scripts print, line by line."""

from __future__ import annotations

import contextlib
import io


class Textport(io.TextIOBase):
    """A stream that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._rest = ""

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str) -> int:
        """Keeps whole lines; the rest waits for more."""
        *lines, self._rest = (self._rest + text).split("\n")
        self.lines += lines
        return len(text)

    def capture(self) -> contextlib.redirect_stdout[Textport]:
        """What is printed inside goes here."""
        return contextlib.redirect_stdout(self)
