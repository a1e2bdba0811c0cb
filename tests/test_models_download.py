"""Downloads over a real loopback server, by real processes that are really killed."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loopback_files import PATIENCE_S, Files, closed_port_url, serving, wait_until
from promptmatte.errors import DownloadError
from promptmatte.models.download import (
    TRIES_DROPPED,
    TRIES_UNREACHED,
    RemoteFile,
    _Redirects,
    download,
)

BODY = random.Random(4).randbytes(300_000)
CHILD = """
import pathlib, sys
from promptmatte.models.download import RemoteFile, download
url, size, sha256, target = sys.argv[1:]
file = RemoteFile(name="model.pth", url=url, size_bytes=int(size), sha256=sha256)
download(file, pathlib.Path(target), lambda *told: None)
"""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def files() -> Iterator[Files]:
    with serving({"model.pth": BODY}) as served:
        yield served


def remote(files: Files, body: bytes = BODY) -> RemoteFile:
    """The file as published."""
    return RemoteFile(
        name="model.pth",
        url=f"{files.url}/model.pth",
        size_bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
    )


def fetch(file: RemoteFile, target: Path, pauses: list[float] | None = None) -> str:
    pauses = [] if pauses is None else pauses
    return download(file, target, lambda *told: None, pause=pauses.append)


def cut_off(files: Files, file: RemoteFile, target: Path, at: int) -> None:
    """Leaves the partial file of a run that lost the network after so many bytes."""
    files.drops = [at] + [0] * TRIES_DROPPED
    with pytest.raises(DownloadError, match=r"kept, run it again"):
        fetch(file, target)
    files.drops.clear()
    files.requests.clear()
    assert partial(target).stat().st_size == at


def partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def child(file: RemoteFile, target: Path) -> subprocess.Popen[bytes]:
    arguments = [file.url, str(file.size_bytes), str(file.sha256), str(target)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments])


def test_a_file_is_fetched_checked_and_put_in_place(files: Files, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    target = tmp_path / "deep" / "folder" / "model.pth"
    got = download(remote(files), target, lambda *words: told.append(words))
    assert target.read_bytes() == BODY
    assert got == hashlib.sha256(BODY).hexdigest()
    assert names(target.parent) == ["model.pth", "model.pth.lock"]
    assert {stage for stage, _, _ in told} == {"fetching", "checking"}
    fetching = [done for stage, done, _ in told if stage == "fetching"]
    assert fetching == sorted(fetching)
    assert (fetching[0], fetching[-1], told[-1][1:]) == (0, len(BODY), (len(BODY), len(BODY)))


def test_a_dropped_connection_goes_on_where_it_was(files: Files, tmp_path: Path) -> None:
    files.drops = [1, 99_999, 0, 150_000]
    pauses: list[float] = []
    fetch(remote(files), tmp_path / "model.pth", pauses)
    assert (tmp_path / "model.pth").read_bytes() == BODY
    assert files.sent == len(BODY)
    assert [r.range for r in files.requests] == [
        None, "bytes=1-", "bytes=100000-", "bytes=100000-", "bytes=250000-",
    ]  # fmt: skip
    assert {r.if_range for r in files.requests[1:]} == {'"1"'}
    assert pauses == [1, 1, 2, 1]  # longer only while nothing comes


def test_a_run_goes_on_from_the_bytes_of_the_run_before(files: Files, tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    cut_off(files, remote(files), target, 123_457)
    fetch(remote(files), target)
    assert target.read_bytes() == BODY
    assert files.sent == len(BODY) - 123_457


def test_a_server_without_ranges_starts_over(files: Files, tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    cut_off(files, remote(files), target, 50_000)
    files.with_ranges = False
    fetch(remote(files), target)
    assert target.read_bytes() == BODY
    assert [r.status for r in files.requests] == [200]


def test_another_version_starts_over(files: Files, tmp_path: Path) -> None:
    target, unpublished = tmp_path / "model.pth", replace(remote(files), size_bytes=None)
    unpublished = replace(unpublished, sha256=None)
    cut_off(files, unpublished, target, 50_000)
    other = BODY[::-1] + b"longer"
    files.content["model.pth"], files.etag = other, '"2"'
    assert fetch(unpublished, target) == hashlib.sha256(other).hexdigest()
    assert target.read_bytes() == other
    assert [(r.if_range, r.status) for r in files.requests] == [('"1"', 200)]


@pytest.mark.parametrize("published", [True, False])
def test_without_an_etag_only_a_published_sha256_lets_it_go_on(
    files: Files, tmp_path: Path, published: bool
) -> None:
    files.etag = None
    target, file = tmp_path / "model.pth", remote(files)
    file = file if published else replace(file, sha256=None)
    partial(target).write_bytes(BODY[:50_000])
    fetch(file, target)
    assert target.read_bytes() == BODY
    assert files.sent == len(BODY) - 50_000 * published


def test_another_server_goes_on_with_a_published_file(files: Files, tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    cut_off(files, remote(files), target, 50_000)
    with serving({"model.pth": BODY}) as mirror:
        mirror.etag = '"of its own"'
        fetch(remote(mirror), target)
        assert [(r.range, r.if_range) for r in mirror.requests] == [("bytes=50000-", None)]
    assert target.read_bytes() == BODY


def test_a_wrong_file_is_refused_and_deleted(files: Files, tmp_path: Path) -> None:
    published = remote(files)
    files.content["model.pth"] = BODY[:-1] + bytes([BODY[-1] ^ 1])
    with pytest.raises(DownloadError, match=r"expected model.pth with sha256 .*it was deleted"):
        fetch(published, tmp_path / "model.pth")
    assert names(tmp_path) == ["model.pth.lock"]


def test_damaged_bytes_of_an_earlier_run_cost_one_start_over(files: Files, tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    cut_off(files, remote(files), target, 50_000)
    partial(target).write_bytes(bytes(50_000))
    fetch(remote(files), target)
    assert target.read_bytes() == BODY
    assert [r.range for r in files.requests] == ["bytes=50000-", None]


@pytest.mark.parametrize(
    ("lie_bytes", "length", "extra"), [(1, True, b""), (-1, True, b""), (0, False, b"x")]
)
def test_a_wrong_size_is_refused(
    files: Files, tmp_path: Path, lie_bytes: int, length: bool, extra: bytes
) -> None:
    files.lie_bytes, files.length, files.extra = lie_bytes, length, extra
    with pytest.raises(DownloadError, match=r"expected 300000 bytes of model.pth; got"):
        fetch(remote(files), tmp_path / "model.pth")
    assert names(tmp_path) == ["model.pth.lock"]
    assert len(files.requests) == 1


def test_what_nobody_published_takes_the_size_of_the_server(files: Files, tmp_path: Path) -> None:
    unpublished = replace(remote(files), size_bytes=None, sha256=None)
    cut_off(files, unpublished, tmp_path / "model.pth", 299_999)
    assert fetch(unpublished, tmp_path / "model.pth") == hashlib.sha256(BODY).hexdigest()
    files.length = False
    with pytest.raises(DownloadError, match="the server gives none"):
        fetch(unpublished, tmp_path / "other.pth")


@pytest.mark.parametrize("published", [True, False])
def test_a_run_killed_when_all_had_come_asks_for_nothing(
    files: Files, tmp_path: Path, published: bool
) -> None:
    target, file = tmp_path / "model.pth", remote(files)
    file = file if published else replace(file, size_bytes=None, sha256=None)
    cut_off(files, file, target, 299_999)
    partial(target).write_bytes(BODY)
    fetch(file, target)
    assert target.read_bytes() == BODY
    assert files.requests == []


@pytest.mark.parametrize("wrong", ["too long", "wrong offset"])
def test_a_partial_file_that_cannot_be_continued_starts_over(
    files: Files, tmp_path: Path, wrong: str
) -> None:
    target = tmp_path / "model.pth"
    cut_off(files, remote(files), target, 50_000)
    if wrong == "too long":
        partial(target).write_bytes(BODY + b"more")
    files.wrong_offset = wrong == "wrong offset"
    fetch(remote(files), target)
    assert target.read_bytes() == BODY
    assert files.requests[-1].range is None


def test_a_server_in_trouble_is_asked_again_but_not_for_ever(files: Files, tmp_path: Path) -> None:
    files.statuses = [503, 429]
    fetch(remote(files), tmp_path / "model.pth")
    assert (tmp_path / "model.pth").read_bytes() == BODY
    files.statuses = [500] * 20
    files.requests.clear()
    with pytest.raises(DownloadError, match=r"the server says 500"):
        fetch(remote(files), tmp_path / "other.pth")
    assert len(files.requests) == TRIES_UNREACHED


def test_a_file_that_is_not_there_is_said_at_once(files: Files, tmp_path: Path) -> None:
    missing = replace(remote(files), url=f"{files.url}/gone.pth")
    with pytest.raises(DownloadError, match=r"says 404 .*PROMPTMATTE_MIRROR"):
        fetch(missing, tmp_path / "model.pth")
    assert len(files.requests) == 1


def test_offline_is_said_after_a_few_tries(files: Files, tmp_path: Path) -> None:
    pauses: list[float] = []
    offline = replace(remote(files), url=f"{closed_port_url()}/model.pth")
    with pytest.raises(DownloadError, match="cannot fetch http"):
        fetch(offline, tmp_path / "model.pth", pauses)
    assert pauses == [1, 2]


def test_only_http_is_fetched(files: Files, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="expected an http or https address"):
        fetch(replace(remote(files), url="file:///model.pth"), tmp_path / "model.pth")
    files.redirect = "ftp://127.0.0.1/model.pth"
    with pytest.raises(DownloadError, match="expected a redirect to https"):
        fetch(remote(files), tmp_path / "model.pth")


def test_redirects_are_followed_but_not_from_https_to_http(files: Files, tmp_path: Path) -> None:
    with serving({}) as front:
        front.redirect = f"{files.url}/model.pth"
        fetch(replace(remote(files), url=f"{front.url}/model.pth"), tmp_path / "model.pth")
    assert (tmp_path / "model.pth").read_bytes() == BODY
    asked = urllib.request.Request("https://example.org/model.pth")
    with pytest.raises(DownloadError, match=r"expected a redirect to https.*leads to http://"):
        _Redirects().redirect_request(asked, None, 302, "", {}, "http://example.org/model.pth")


def test_too_little_room_is_said_before_a_byte_is_fetched(files: Files, tmp_path: Path) -> None:
    files.lie_bytes = 10**17
    file = replace(remote(files), size_bytes=len(BODY) + files.lie_bytes)
    with pytest.raises(DownloadError, match=r"expected 1000000000\d\d MB of room"):
        fetch(file, tmp_path / "model.pth")
    assert not partial(tmp_path / "model.pth").exists()


def test_a_folder_that_cannot_be_is_said(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="PROMPTMATTE_CACHE"):
        fetch(remote(files), tmp_path / "file" / "model.pth")


def test_kill_at_any_byte_then_only_the_rest_is_fetched(files: Files, tmp_path: Path) -> None:
    """Every byte is served once: what a killed process had written is never asked for again."""
    file, target = remote(files), tmp_path / "model.pth"
    for at in sorted(random.Random(9).sample(range(1, len(BODY)), 4)):
        files.hold_at = at
        process = child(file, target)
        files.wait_for_sent(at)
        wait_until(lambda at=at: size(partial(target)) == at, "all of it written")
        process.kill()
        process.wait(PATIENCE_S)
        files.wait_until_idle()
        assert not target.exists()
    files.hold_at = None
    process = child(file, target)
    assert process.wait(PATIENCE_S) == 0
    assert target.read_bytes() == BODY
    assert files.sent == len(BODY)
    assert [r.status for r in files.requests] == [200] + [206] * 4


def test_two_processes_fetch_a_file_once_and_a_killed_one_is_followed(
    files: Files, tmp_path: Path
) -> None:
    file, target = remote(files), tmp_path / "model.pth"
    files.hold_at = 100_000
    first = child(file, target)
    files.wait_for_sent(100_000)
    wait_until(lambda: size(partial(target)) == 100_000, "all of it written")
    others = [child(file, target), child(file, target)]
    with pytest.raises(subprocess.TimeoutExpired):
        others[0].wait(1.0)
    assert len(files.requests) == 1
    first.kill()
    first.wait(PATIENCE_S)
    wait_until(lambda: len(files.requests) == 2, "one of the others to go on")
    files.hold_at = None
    assert [other.wait(PATIENCE_S) for other in others] == [0, 0]
    assert target.read_bytes() == BODY
    assert files.sent == len(BODY)
    assert [r.range for r in files.requests] == [None, "bytes=100000-"]
