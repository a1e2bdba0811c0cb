"""A lock between processes that the system frees when its holder dies."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from promptmatte_shm.errors import ShmError

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class LockFile:
    """An empty file in the temporary folder, or in another one that is there, locked while this
    object holds it.

    The file stays: removing it would let two processes lock two files of one name.
    """

    def __init__(self, session: str, role: str, *, folder: Path | None = None) -> None:
        name = f"promptmatte_shm.{session}.{role}.lock"
        self.path = (folder or Path(tempfile.gettempdir())) / name
        self._fd = -1

    def acquire(self) -> bool:
        """Whether the lock is now ours; never waits. ShmError if the file cannot be opened."""
        try:
            fd = os.open(self.path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError as error:
            raise ShmError(
                f"cannot open the lock file {self.path}: {error}; "
                "use another session name or remove the file"
            ) from error
        try:
            _lock(fd)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Frees the lock; safe to call twice."""
        if self._fd >= 0:
            _unlock(self._fd)  # closing alone would leave it to a child that was forked meanwhile
            os.close(self._fd)
            self._fd = -1
