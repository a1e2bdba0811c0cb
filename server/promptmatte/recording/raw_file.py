"""A file on disk as FFmpeg writes it."""

from __future__ import annotations

import io
from pathlib import Path


class RawFile:
    """Writes all of what it is given at once, unbuffered; after a first error nothing more,
    so that what is on the disk stays as good as it was."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self._failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """How many bytes: all of them; OSError as the disk gives it, for good."""
        if self._failure is not None:
            raise self._failure
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._raw.write(rest) or 0 :]
        except OSError as error:
            self._failure = error
            raise
        return len(data)

    def writable(self) -> bool:
        """True, for PyAV."""
        return True

    def seekable(self) -> bool:
        """Whether it is a real file."""
        return self._raw.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new place in bytes."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """The place in bytes."""
        return self._raw.tell()

    @property
    def closed(self) -> bool:
        """True after close."""
        return self._raw.closed

    def close(self) -> None:
        """Safe to call twice."""
        self._raw.close()


def new_file(path: Path) -> io.RawIOBase:
    """A file that was not there before; FileExistsError when it was."""
    return io.FileIO(path, "x")
