"""The cache: where fetched models lie, whether they are whole, and fetching what is missing."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from promptmatte.errors import ConfigError, DownloadError, ModelError
from promptmatte.models.catalogue import Entry, named_entry
from promptmatte.models.download import RemoteFile, download, file_sha256
from promptmatte.models.partial import BytesProgress, Partial
from promptmatte.models.protocol import Progress
from promptmatte.user_folders import cache_folder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class State:
    """What is there of an entry: ready, partial, missing, damaged or by hand; bytes there and
    in all."""

    name: str
    done_bytes: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What hashing one file found; not ok comes with what to do."""

    path: Path
    ok: bool
    found: str


class Store:
    """One cache folder: a folder for each entry, in it its files under their own names.

    mirror: an http address that serves the same layout, read instead of the public ones.
    Beside each file lies NAME.checked.json: its sha256 with the size and time of the file
    that was hashed. While these two agree a file is not hashed again (2.5 GB take seconds
    at every start); a file that came another way (a USB stick) is hashed on first sight.
    """

    def __init__(self, folder: Path, *, mirror: str | None = None) -> None:
        if mirror and not mirror.startswith(("http://", "https://")):
            raise ConfigError(f"expected PROMPTMATTE_MIRROR as an http address; got {mirror!r}")
        self.folder = folder
        self._mirror = mirror.rstrip("/") if mirror else None

    @classmethod
    def from_environment(cls) -> Store:
        """The store that PROMPTMATTE_CACHE and PROMPTMATTE_MIRROR say, else the platform's."""
        given = os.environ.get("PROMPTMATTE_CACHE")
        folder = Path(given).expanduser().absolute() if given else cache_folder()
        return cls(folder / "models", mirror=os.environ.get("PROMPTMATTE_MIRROR"))

    def path(self, name: str) -> Path:
        """Where the entry's file, or its folder, is or would be."""
        entry = named_entry(name)
        folder = self.folder / name
        return folder if entry.is_folder or not entry.files else folder / entry.files[0].name

    def state(self, name: str) -> State:
        """What is there, by sizes alone; reads no file."""
        entry = named_entry(name)
        if not entry.files:
            return State(name="by hand", done_bytes=0, size_bytes=0)
        targets = [self.folder / name / file.name for file in entry.files]
        done = sum(t.stat().st_size if t.is_file() else Partial(t).size_bytes() for t in targets)
        if any(_is_damaged(f, t) for f, t in zip(entry.files, targets, strict=True)):
            return State(name="damaged", done_bytes=done, size_bytes=entry.size_bytes)
        if all(target.is_file() for target in targets):
            return State(name="ready", done_bytes=done, size_bytes=done)
        word = "partial" if done else "missing"
        return State(name=word, done_bytes=done, size_bytes=entry.size_bytes)

    def located(self, name: str) -> Path:
        """The entry's file, or its folder, whole and checked; no network.

        Raises ModelError with the command that fetches it when it is missing, and when a
        file is not the one it should be.
        """
        entry = named_entry(name)
        if not entry.files:
            raise ModelError(f"{name} is not fetched: {entry.by_hand}")
        folder = self.folder / name
        absent = [file.name for file in entry.files if not (folder / file.name).is_file()]
        if absent:
            raise ModelError(
                f"expected {absent[0]} of {name} in {folder}; got no such file: fetch it with "
                f"{_pull(name)}"
            )
        for target, file in ((folder / file.name, file) for file in entry.files):
            with _usable(target):
                if wrong := self._why_wrong(file, target, _nothing):
                    raise ModelError(f"{wrong}: fetch it again with {_pull(name)}")
        self._write_written(entry)
        return self.path(name)

    def pulled(self, name: str, progress: BytesProgress) -> Path:
        """The same, with what is missing fetched first; DownloadError, ModelError.

        progress is told the bytes of the whole entry.
        """
        entry = named_entry(name)
        if not entry.files:
            raise ModelError(f"{name} is not fetched: {entry.by_hand}")
        done = 0
        for file in entry.files:
            told = _shifted(progress, done, entry)
            target = self.folder / name / file.name
            with _usable(target):
                if target.is_file() and self._why_wrong(file, target, told):
                    target.unlink()
                if not target.is_file():
                    self._fetch(entry, file, target, told)
                done += target.stat().st_size
        self._write_written(entry)
        return self.path(name)

    def verified(self, name: str, progress: BytesProgress) -> Iterator[Verdict]:
        """Hashes every file of an entry again, whatever is recorded; a Verdict of each."""
        for file in named_entry(name).files:
            target = self.folder / name / file.name
            if not target.is_file():
                yield Verdict(path=target, ok=False, found=f"missing: {_pull(name)}")
                continue
            with _usable(target):
                found = file_sha256(target, progress)
            expected = self._expected(file, target)
            if expected not in (None, found):
                _record(target, expected, trusted=False)
                advice = f"sha256 {found}, not {expected}: fetch it again with {_pull(name)}"
                yield Verdict(path=target, ok=False, found=advice)
                continue
            _record(target, found)
            yield Verdict(path=target, ok=True, found=_trust(file, first=expected is None))

    def _fetch(self, entry: Entry, file: RemoteFile, target: Path, told: BytesProgress) -> None:
        expected = self._expected(file, target)
        url = f"{self._mirror}/{entry.name}/{file.name}" if self._mirror else file.url
        _log.info("fetching %s", url)
        found = download(replace(file, url=url, sha256=expected), target, told)
        _record(target, found)
        if file.sha256 is None:
            _log.warning("%s: %s", target, _trust(file, first=expected is None))

    def _why_wrong(self, file: RemoteFile, target: Path, told: BytesProgress) -> str:
        """Empty for the right file; hashes it unless it is the one that was hashed before."""
        seen, stat = _recorded(target), target.stat()
        if seen.get("size_bytes") == stat.st_size and seen.get("mtime_ns") == stat.st_mtime_ns:
            return ""
        if _is_damaged(file, target):
            return f"expected {target} with {file.size_bytes} bytes; got {stat.st_size}"
        found, expected = file_sha256(target, told), self._expected(file, target)
        if expected not in (None, found):
            return f"expected {target} with sha256 {expected}; got {found}"
        _record(target, found)
        return ""

    @staticmethod
    def _expected(file: RemoteFile, target: Path) -> str | None:
        """The published sha256, else that of the first file of that name seen here."""
        first = _recorded(target).get("sha256")
        return file.sha256 or (first if isinstance(first, str) else None)

    def _write_written(self, entry: Entry) -> None:
        """Writes the small files beside the fetched ones where they are not there as they are."""
        for file in entry.written:
            path = self.folder / entry.name / file.name
            with _usable(path):
                content = file.text.encode()
                if not path.is_file() or path.read_bytes() != content:
                    path.write_bytes(content)


def located(name: str) -> Path:
    """The entry's file, or its folder, in the user's cache; ModelError when it is missing."""
    return Store.from_environment().located(name)


def fetched(name: str, progress: Progress) -> Path:
    """The same, fetched first when it is missing; DownloadError, ModelError.

    progress is told "fetching NAME", "checking NAME" or "waiting for NAME" with the share.
    """

    def told(stage: str, done: int, total: int) -> None:
        doing = "waiting for another process to fetch" if stage == "waiting" else stage
        progress(f"{doing} {name}", min(done / total, 1.0) if total else 0.0)

    return Store.from_environment().pulled(name, told)


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Tells of a file that cannot be read or written as a ModelError."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        raise ModelError(
            f"cannot use {path}: {error}; make it readable and its folder writable, or set "
            "PROMPTMATTE_CACHE to another folder"
        ) from error


def _is_damaged(file: RemoteFile, target: Path) -> bool:
    """Whether the file that is there has a size that it cannot have."""
    return target.is_file() and file.size_bytes not in (None, target.stat().st_size)


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.checked.json")


def _recorded(target: Path) -> dict[str, object]:
    """What is recorded of a file: sha256, size_bytes, mtime_ns; nothing when nothing is."""
    try:
        record = json.loads(_record_path(target).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _record(target: Path, sha256: str | None, *, trusted: bool = True) -> None:
    """Records the file's sha256; not trusted, it is hashed again on next sight."""
    record: dict[str, object] = {"sha256": sha256}
    if trusted:
        stat = target.stat()
        record |= {"size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    with contextlib.suppress(OSError):  # a cache that is read-only is hashed at every start
        _record_path(target).write_text(json.dumps(record), encoding="utf-8")


def _trust(file: RemoteFile, *, first: bool) -> str:
    if file.sha256:
        return "sha256 as published"
    was = "recorded now" if first else "as when it was first fetched"
    return f"not checked against a published sha256 (there is none); its own is {was}"


def _pull(name: str) -> str:
    return f"promptmatte models pull {name}"


def _nothing(_stage: str, _done: int, _total: int) -> None:
    """A BytesProgress that tells nobody."""


def _shifted(progress: BytesProgress, before: int, entry: Entry) -> BytesProgress:
    """Tells the bytes of one file as those of the whole entry."""

    def told(stage: str, done: int, total: int) -> None:
        progress(stage, before + done, max(entry.size_bytes, before + total))

    return told
