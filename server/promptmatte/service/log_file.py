"""The log of a service: lines from anywhere, in a bounded number of files, and their readers."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from promptmatte.sources.redaction import redacted

FILE_BYTES = 1_000_000
FILES = 5

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
STAMPED = re.compile(r"\d{4}-\d\d-\d\d ")


class LogFile:
    """Writes lines, each with the time unless it has one; passwords in URLs become ***.

    At most FILES files of FILE_BYTES: path, path.1 (older) and so on. While another program keeps
    the newest from being renamed (Windows: who has it open) that one grows. What cannot be
    written (a full disk) is lost and does not disturb the writer.
    """

    def __init__(self, path: Path, *, file_bytes: int = FILE_BYTES, files: int = FILES) -> None:
        with contextlib.suppress(OSError):
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
        with contextlib.suppress(OSError):  # words that a full disk did not take
            self._handler.close()


class _Quiet(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Says nothing: the log is the only place where it could be said."""

    def doRollover(self) -> None:  # noqa: N802  logging's name
        """Moves every file up by one, once the newest has let itself be moved.

        The original drops the oldest file first: while the newest cannot be renamed, each line
        would cost one, and be lost itself.
        """
        stream, self.stream = self.stream, None
        if stream:
            stream.close()
        newest = Path(self.baseFilename)
        try:
            newest.replace(_numbered(newest, 0))
        except OSError:
            return
        for number in reversed(range(self.backupCount)):
            with contextlib.suppress(OSError):
                _numbered(newest, number).replace(_numbered(newest, number + 1))


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
        self._file = self._offset = 0
        lines = self.new()
        return lines[max(len(lines) - count, 0) :]

    def new(self) -> list[str]:
        """The lines that came since the last call, at first all."""
        # From the newest on: what a rotation moves meanwhile is met twice, not missed.
        found: dict[int, tuple[int, bytes]] = {}
        for path in [self._path, *(_numbered(self._path, number) for number in range(FILES))]:
            try:
                file, begin, rest = self._rest(path)
            except OSError:
                continue
            found.setdefault(file, (begin, rest))
            if file == self._file:
                break
        if not found:
            return []
        self._file = next(iter(found))
        begin, content = found[self._file]
        whole = content[: content.rfind(b"\n") + 1]
        self._offset = begin + len(whole)
        older = b"".join(rest for _, rest in reversed([*found.values()][1:]))
        lines = (older + whole).decode("utf-8", "replace").split("\n")
        return [line.rstrip() for line in lines[:-1]]

    def _rest(self, path: Path) -> tuple[int, int, bytes]:
        """What stays of a file when it is renamed, where the lines begin that were not read yet,
        and these."""
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            known = stat.st_ino == self._file and self._offset <= stat.st_size
            begin = self._offset if known else 0
            file.seek(begin)
            return stat.st_ino, begin, file.read()


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
