"""The bytes of a download so far, and the lock that keeps them to one process."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from promptmatte_shm.errors import ShmError
from promptmatte_shm.lockfile import LockFile

from promptmatte.errors import DownloadError

BytesProgress = Callable[[str, int, int], None]
"""Told what is being done (waiting, fetching, checking), the bytes done and the bytes in all."""

STALLED_S = 300.0
"""How long another process may hold the lock of a file whose bytes do not grow."""


class Partial:
    """What there is of a file before it is whole, and which version of it that is from."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.partial")
        self._origin = target.with_name(f"{target.name}.partial.json")

    def size_bytes(self) -> int:
        """How much of it is there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def validator(self, url: str) -> str | None:
        """The ETag or date of the version the bytes are from, when they are from that URL."""
        found = self._read_origin(url).get("validator")
        return found if isinstance(found, str) else None

    def announced_bytes(self, url: str) -> int | None:
        """The size the server gave that version, when the bytes are from that URL."""
        found = self._read_origin(url).get("size_bytes")
        return found if isinstance(found, int) else None

    def _read_origin(self, url: str) -> dict[str, Any]:
        try:
            origin = json.loads(self._origin.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return origin if isinstance(origin, dict) and origin.get("url") == url else {}

    def start(self, url: str, validator: str | None, size_bytes: int) -> None:
        """Empties it for another version; in this order, so that no kill mixes two versions."""
        self.path.write_bytes(b"")
        origin = {"url": url, "validator": validator, "size_bytes": size_bytes}
        self._origin.write_text(json.dumps(origin), encoding="utf-8")

    def delete(self) -> None:
        """Leaves nothing of it."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Moves the bytes to the target in one step, safe against loss of power."""
        with self.path.open("rb+") as whole:
            os.fsync(whole.fileno())
        self.path.replace(target)
        self._origin.unlink(missing_ok=True)
        if os.name == "posix":  # Windows cannot open a folder to sync it
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class _TargetLock(LockFile):
    """A lock beside the file it is for; freed by the system when its holder dies."""

    def __init__(self, target: Path) -> None:
        super().__init__(session="", role="")
        self.path = target.with_name(f"{target.name}.lock")


@contextlib.contextmanager
def locked(target: Path, total: int, progress: BytesProgress) -> Iterator[None]:
    """Holds the file's lock; waits while another process holds it and its bytes grow."""
    lock, grown_at, size = _TargetLock(target), time.monotonic(), -1
    try:
        while not lock.acquire():
            now = Partial(target).size_bytes()
            if now != size:
                grown_at, size = time.monotonic(), now
            if time.monotonic() - grown_at > STALLED_S:
                raise DownloadError(
                    f"another process has held {lock.path} for {STALLED_S:.0f} s and fetches "
                    "nothing: end it, or set PROMPTMATTE_CACHE to a local disk"
                )
            progress("waiting", now, total)
            time.sleep(0.1)
    except ShmError as error:
        raise DownloadError(f"cannot open the lock file {lock.path}: {error.__cause__}") from error
    try:
        yield
    finally:
        lock.release()
