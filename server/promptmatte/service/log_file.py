"""The log of a service: lines from anywhere, in a bounded number of files, and their readers."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from promptmatte.sources.redaction import redacted

FILE_BYTES = 1_000_000
FILES = 5

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
STAMPED = re.compile(r"\d{4}-\d\d-\d\d ")


class LogFile:
    """Writes lines, each with the time unless it has one; passwords in URLs become ***.

    At most FILES files of FILE_BYTES: path, path.1 (older) and so on. What cannot be written (a
    full disk) is lost and does not disturb the writer.
    """

    def __init__(self, path: Path, *, file_bytes: int = FILE_BYTES, files: int = FILES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = _Quiet(
            path, maxBytes=file_bytes, backupCount=files - 1, encoding="utf-8",
            errors="backslashreplace", delay=True,
        )  # fmt: skip

    def write(self, line: str) -> None:
        """Adds a line; from any thread."""
        text = URL.sub(lambda url: redacted(url[0]), line.rstrip())
        if not STAMPED.match(text):
            text = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"
        self._handler.handle(logging.makeLogRecord({"msg": text}))

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        self._handler.close()


class _Quiet(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Says nothing: the log is the only place where it could be said."""


class LogReader:
    """Reads a log that is written and rotated meanwhile.

    It holds no file open, as Windows could not rotate one that is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = 0
        self._offset = 0

    def last(self, count: int) -> list[str]:
        """The last so many lines, the oldest first; `new` goes on after them."""
        lines: deque[str] = deque(maxlen=count)
        for path in reversed(_rotated(self._path)):
            with path.open("rb") as file:
                lines.extend(line.decode("utf-8", "replace").rstrip() for line in file)
        self._file, self._offset = _identity(self._path)
        return list(lines)

    def new(self) -> Iterator[str]:
        """The lines that came since the last call."""
        file, size = _identity(self._path)
        if file != self._file:
            older = self._path.with_name(f"{self._path.name}.1")
            if self._file and _identity(older)[0] == self._file:
                yield from self._rest(older)
            self._file, self._offset = file, 0
        if size > self._offset:
            yield from self._rest(self._path)

    def _rest(self, path: Path) -> Iterator[str]:
        with path.open("rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._offset += len(whole) + 1
            yield from whole.decode("utf-8", "replace").split("\n")


def _rotated(path: Path) -> list[Path]:
    """The files that there are, the newest first."""
    names = [path.name, *(f"{path.name}.{number}" for number in range(1, FILES))]
    return [file for file in (path.with_name(name) for name in names) if file.is_file()]


def _identity(path: Path) -> tuple[int, int]:
    """What stays of a file when it is renamed, and its size; zeros when there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_ino, stat.st_size
