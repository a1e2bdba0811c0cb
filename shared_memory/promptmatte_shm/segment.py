"""One named block of shared memory, the same on Linux, macOS and Windows."""

from __future__ import annotations

import mmap
import os
import re
import sys
import threading
import zlib

from promptmatte_shm.errors import LayoutError, SessionNameError, SessionNotFoundError, ShmError

if sys.platform == "win32":
    from multiprocessing.shared_memory import SharedMemory
else:
    import _posixshmem  # type: ignore[import-not-found]  # the standard library's own

MAX_NAME_CHARS = 16
ALIGNMENT = 64
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME_CHARS}}}")
_order = threading.Lock()


def checked_name(name: str) -> str:
    """The session name; SessionNameError unless it works on every system.

    macOS allows 30 characters with the leading slash: /pm_ + name + .f + 8 hex digits.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SessionNameError(
            f"expected a session name of 1 to {MAX_NAME_CHARS} letters, digits, '_' or '-'; "
            f"got {name!r}"
        )
    return name


def aligned(size: int) -> int:
    """The size rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def fence() -> None:
    """Orders all memory accesses before it ahead of all after it, on ARM too.

    Python has no fence, but a lock's release keeps earlier accesses before it and its
    acquire keeps later ones behind it. One acquire-release pair would let both sides
    meet inside the locked region; the release of the first pair and the acquire of the
    second leave them no way past each other.
    """
    with _order:
        pass
    with _order:
        pass


def sealed(payload: bytes) -> bytes:
    """The payload with its checksum, so that damaged and half-written records show."""
    return payload + zlib.crc32(payload).to_bytes(4, "little")


def unsealed(record: bytes) -> bytes | None:
    """The payload of a sealed record; None if it is empty, damaged or half-written."""
    payload, checksum = record[:-4], record[-4:]
    return payload if zlib.crc32(payload).to_bytes(4, "little") == checksum else None


def unlink(name: str) -> None:
    """Removes the name; who has the block mapped keeps it. Nothing to do on Windows,
    where a block goes with its last handle."""
    if sys.platform != "win32":
        try:
            _posixshmem.shm_unlink("/" + name)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ShmError(f"cannot remove shared memory {name!r}: {error}") from error


class Segment:
    """A mapped block: `view` (writable bytes) and `words` (uint64, single stores).

    Never registered with multiprocessing's resource tracker: that would unlink the
    block of a living writer when a reader exits (before Python 3.13), or one that a
    later writer made under the same name, and it starts a process from sys.executable,
    which is no Python inside TouchDesigner. The block is unmapped when the last view
    of it has gone, so a thread that still copies never touches unmapped memory.
    """

    def __init__(self, name: str, block: mmap.mmap) -> None:
        self.name = name
        self.size = len(block)
        self.view = memoryview(block)
        self.words = self.view[: self.size // 8 * 8].cast("Q")

    @classmethod
    def create(cls, name: str, size: int) -> Segment:
        """A new block of zeros; LayoutError if the name is taken, ShmError if no room."""
        try:
            return cls(name, _create(name, size))
        except FileExistsError as error:
            raise LayoutError(
                f"expected the shared memory name {name!r} to be free; got another's block: "
                "close the programs that use it or take another session name"
            ) from error
        except (OSError, OverflowError, ValueError) as error:
            raise ShmError(
                f"expected room for {size} bytes of shared memory; got {error}: "
                "free some, or use a smaller picture or fewer slots"
            ) from error

    @classmethod
    def attach(cls, name: str, least_size: int) -> Segment:
        """The block of this name; SessionNotFoundError if there is none (yet), LayoutError
        if it is smaller than least_size. Its size may be rounded up to whole pages."""
        try:
            segment = cls(name, _attach(name))
        except (FileNotFoundError, ValueError) as error:
            # ValueError: its creator has not given it a size yet
            raise SessionNotFoundError(f"no shared memory named {name!r}") from error
        except OSError as error:
            raise ShmError(f"cannot open shared memory {name!r}: {error}") from error
        if segment.size < least_size:
            raise LayoutError(
                f"expected at least {least_size} bytes in {name!r}; got {segment.size}"
            )
        return segment

    def read(self, offset: int, size: int) -> bytes:
        """A copy of these bytes."""
        return bytes(self.view[offset : offset + size])

    def write(self, offset: int, content: bytes) -> None:
        """Stores the bytes."""
        self.view[offset : offset + len(content)] = content


if sys.platform == "win32":

    def _create(name: str, size: int) -> mmap.mmap:
        return _mapped(SharedMemory(name, create=True, size=size))

    def _attach(name: str) -> mmap.mmap:
        return _mapped(SharedMemory(name))

    def _mapped(block: SharedMemory) -> mmap.mmap:
        """A mapping of our own: SharedMemory cannot be closed while arrays look into it."""
        try:
            return mmap.mmap(-1, block.size, tagname=block.name)
        finally:
            block.close()

else:

    def _create(name: str, size: int) -> mmap.mmap:
        fd = _posixshmem.shm_open("/" + name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=0o600)
        try:
            os.ftruncate(fd, size)
            if sys.platform == "linux":
                # A full /dev/shm (64 MB in a container) would otherwise kill with SIGBUS.
                os.posix_fallocate(fd, 0, size)
            return mmap.mmap(fd, size)
        except BaseException:
            unlink(name)
            raise
        finally:
            os.close(fd)

    def _attach(name: str) -> mmap.mmap:
        fd = _posixshmem.shm_open("/" + name, os.O_RDWR, mode=0o600)
        try:
            return mmap.mmap(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
