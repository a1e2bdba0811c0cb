"""One file over HTTP: resumed where it was cut off, checked whole, put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from promptmatte import __version__
from promptmatte.errors import DownloadError
from promptmatte.models.partial import BytesProgress, Partial, locked

TIMEOUT_S = 30.0
TRIES_UNREACHED = 3
"""Tries before the first byte of a run: a machine that is offline is told so in seconds."""
TRIES_DROPPED = 8
"""Tries without a new byte once bytes came: with the pauses about a minute of lost network."""
LONGEST_PAUSE_S = 15.0
READ_BYTES = 1 << 18
HASH_BYTES = 1 << 22
SPARE_BYTES = 32 << 20
"""Room left on the disk beside the file itself."""
PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
DISK_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch. size_bytes and sha256 (hex) are None where nobody has published them."""

    name: str
    url: str
    size_bytes: int | None
    sha256: str | None


class _DroppedError(Exception):
    """The connection or the server failed in a way that may pass."""


def download(
    file: RemoteFile,
    target: Path,
    progress: BytesProgress,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """The sha256 of `target`, which holds the whole checked file when this returns.

    Bytes go to target.partial and stay there when the network, the disk or the process
    fails; the next call goes on from them (HTTP Range, with If-Range so that another
    version starts over; a server without ranges starts over too). A file whose size or
    sha256 is wrong is deleted. One process at a time: a second one waits, and the lock
    goes with its holder. `pause` sleeps between tries. Raises DownloadError.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target, file.size_bytes or 0, progress):
            if target.exists():  # another process was first, and checked it
                return file_sha256(target, progress)
            return _Fetch(file, target, progress, pause).run()
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"cannot write {target}: {error}; choose a folder with PROMPTMATTE_CACHE"
        ) from error


def file_sha256(path: Path, progress: BytesProgress) -> str:
    """The sha256 of a file in hex."""
    total, done, digest = path.stat().st_size, 0, hashlib.sha256()
    with path.open("rb", buffering=0) as source:
        while chunk := source.read(HASH_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress("checking", done, total)
    return digest.hexdigest()


class _Fetch:
    """One call of download, under the lock."""

    def __init__(
        self,
        file: RemoteFile,
        target: Path,
        progress: BytesProgress,
        pause: Callable[[float], None],
    ) -> None:
        if not file.url.startswith(("https://", "http://")):
            raise DownloadError(f"expected an http or https address; got {file.url}")
        self._file = file
        self._target = target
        self._progress = progress
        self._pause = pause
        self._partial = Partial(target)
        self._opener = urllib.request.build_opener(_Redirects)
        self._came_bytes = 0

    def run(self) -> str:
        resumed = self._partial.size_bytes() > 0
        self._fetch_all()
        found = file_sha256(self._partial.path, self._progress)
        if resumed and not self._is_right(found):
            # what was left of an earlier run was damaged: a second chance from the start
            self._partial.delete()
            self._fetch_all()
            found = file_sha256(self._partial.path, self._progress)
        if not self._is_right(found):
            self._partial.delete()
            raise DownloadError(
                f"expected {self._file.name} with sha256 {self._file.sha256}; got {found} from "
                f"{self._file.url}: it was deleted; try again, or another network or mirror"
            )
        self._partial.finish(self._target)
        return found

    def _is_right(self, sha256: str) -> bool:
        return self._file.sha256 in (None, sha256)

    def _fetch_all(self) -> None:
        """Fetches until the partial file is whole; DownloadError when that does not succeed."""
        size = self._file.size_bytes or self._partial.announced_bytes(self._file.url)
        if size is not None and self._partial.size_bytes() > size:
            self._partial.delete()
        tries = 0
        while size is None or self._partial.size_bytes() < size:
            before = self._came_bytes
            try:
                self._attempt()
                return
            except _DroppedError as error:
                tries = 1 if self._came_bytes > before else tries + 1
                if tries >= (TRIES_DROPPED if self._came_bytes else TRIES_UNREACHED):
                    raise DownloadError(
                        f"cannot fetch {self._file.url}: {error}{self._kept()}; is this machine "
                        "online? PROMPTMATTE_MIRROR names another server"
                    ) from error
                self._pause(min(2.0 ** (tries - 1), LONGEST_PAUSE_S))

    def _kept(self) -> str:
        kept = self._partial.size_bytes()
        return f"; {kept / 1e6:.1f} MB are kept, run it again to go on" if kept else ""

    def _attempt(self) -> None:
        """One request, read to its end."""
        offset, headers = self._partial.size_bytes(), {}
        validator = self._partial.validator(self._file.url)
        if offset and validator is None and self._file.sha256 is None:
            offset = 0  # nothing would tell whether the rest belongs to these bytes
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator:
                headers["If-Range"] = validator
        with self._opened(headers) as answer:
            offset = self._offset_of(answer, offset, validator)
            total = self._total_of(answer, offset)
            self._check_room(total - offset)
            if not offset:
                self._partial.start(self._file.url, _validator_of(answer), total)
            self._copy(answer, offset, total)

    def _opened(self, headers: dict[str, str]) -> Any:
        headers |= {"User-Agent": f"promptmatte/{__version__}", "Accept-Encoding": "identity"}
        request = urllib.request.Request(self._file.url, headers=headers)  # noqa: S310  checked
        try:
            return self._opener.open(request, timeout=TIMEOUT_S)
        except DownloadError:
            raise
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # our bytes are beyond the end of what is there now
                self._partial.delete()
            elif error.code not in PASSING_STATUS:
                raise DownloadError(
                    f"expected {self._file.name} at {self._file.url}; the server says "
                    f"{error.code} {error.reason}: set PROMPTMATTE_MIRROR to a server that has "
                    f"it, or copy the file to {self._target}"
                ) from error
            raise _DroppedError(f"the server says {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise DownloadError(
                    f"cannot trust {self._file.url}: {error.reason.verify_message}; is there a "
                    "proxy in between? its certificate must be known to this machine"
                ) from error
            raise _DroppedError(str(error.reason)) from error
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(str(error) or type(error).__name__) from error

    def _offset_of(self, answer: Any, offset: int, validator: str | None) -> int:
        """Where in the file the answer starts: at the end of our bytes, or at 0."""
        if answer.status != 206:
            return 0
        start = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        tagged = validator is not None and validator.startswith('"')
        other = tagged and answer.headers.get("ETag", validator) != validator
        if start is None or int(start[1]) != offset or other:
            self._partial.delete()
            raise _DroppedError("the server sent another part or version than was asked for")
        return offset

    def _total_of(self, answer: Any, offset: int) -> int:
        """The size of the whole file, as published and announced; both must agree."""
        length = answer.headers.get("Content-Length", "")
        coded = answer.headers.get("Content-Encoding", "identity") != "identity"
        announced = offset + int(length) if length.isdecimal() and not coded else None
        expected = self._file.size_bytes
        if expected is None and announced is None:
            raise DownloadError(f"expected the size of {self._file.url}; the server gives none")
        if None not in (expected, announced) and announced != expected:
            raise self._wrong_size(f"{announced} bytes ({answer.headers.get_content_type()})")
        return expected if expected is not None else announced or 0

    def _wrong_size(self, got: str) -> DownloadError:
        return DownloadError(
            f"expected {self._file.size_bytes or 'the announced'} bytes of {self._file.name}; got "
            f"{got} from {self._file.url}: is a login page or a proxy in between?"
        )

    def _check_room(self, missing_bytes: int) -> None:
        free = shutil.disk_usage(self._target.parent).free
        if free < missing_bytes + SPARE_BYTES:
            raise DownloadError(
                f"expected {(missing_bytes + SPARE_BYTES) / 1e6:.0f} MB of room for "
                f"{self._file.name} in {self._target.parent}; got {free / 1e6:.0f} MB: make "
                f"room or set PROMPTMATTE_CACHE to another disk{self._kept()}"
            )

    def _copy(self, answer: Any, done: int, total: int) -> None:
        """Appends the answer's body, each piece as it comes: a kill loses nothing written."""
        with self._partial.path.open("ab", buffering=0) as out:
            while done < total:
                self._progress("fetching", done, total)
                try:
                    piece = answer.read1(READ_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    raise _DroppedError(str(error) or type(error).__name__) from error
                if not piece:
                    raise _DroppedError(f"the connection ended after {done} of {total} bytes")
                if done + len(piece) > total:
                    break
                self._write(out, piece)
                self._came_bytes += len(piece)
                done += len(piece)
            if done < total or self._goes_on(answer):
                out.close()
                self._partial.delete()
                raise self._wrong_size("more")
        self._progress("fetching", done, total)

    @staticmethod
    def _goes_on(answer: Any) -> bool:
        """Whether a server that announced no length sends more than the published size."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(answer.read1(1))
        return False

    def _write(self, out: IO[bytes], piece: bytes) -> None:
        left = memoryview(piece)
        try:
            while left:
                left = left[out.write(left) :]
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise DownloadError(
                f"the disk of {self._target.parent} takes no more ({error.strerror}): make room "
                f"or set PROMPTMATTE_CACHE to another disk{self._kept()}"
            ) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything less."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        schemes = ("https:",) if req.type == "https" else ("https:", "http:")
        if not newurl.lower().startswith(schemes):
            raise DownloadError(f"expected a redirect to https; {req.full_url} leads to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _validator_of(answer: Any) -> str | None:
    """What If-Range may carry: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    etag: str | None = answer.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    date: str | None = answer.headers.get("Last-Modified")
    return date
