"""The cache: what is there, what is whole, and what is fetched, over a loopback mirror."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_files import Files, serving
from promptmatte.errors import ConfigError, DownloadError, ModelError
from promptmatte.models.catalogue import CATALOGUE, Entry, WrittenFile
from promptmatte.models.download import RemoteFile
from promptmatte.models.store import Store, fetched, located

SAM = random.Random(1).randbytes(50_000)
CLIP = random.Random(2).randbytes(40_000)
TOKENIZER = b'{"version": "1.0"}'


def remote(name: str, body: bytes, *, published: bool = True) -> RemoteFile:
    sha256 = hashlib.sha256(body).hexdigest() if published else None
    size_bytes = len(body) if published else None
    url = f"https://example.org/{name}"
    return RemoteFile(name=name, url=url, size_bytes=size_bytes, sha256=sha256)


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of small files: one published, one folder that nobody published."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    entries = (
        Entry(
            name="sam-vit-b", kind="SAM", purpose="p", licence="l", files=(remote("b.pth", SAM),)
        ),
        Entry(
            name="ViT-B-16",
            kind="CLIP",
            purpose="p",
            licence="l",
            files=(remote("w.bin", CLIP, published=False), remote("tokenizer.json", TOKENIZER)),
            written=(WrittenFile(name="config.json", content={"layers": 2}),),
            about_bytes=41_000,
        ),
    )
    for entry in entries:
        monkeypatch.setitem(CATALOGUE, entry.name, entry)


@pytest.fixture
def mirror() -> Iterator[Files]:
    content = {
        "sam-vit-b/b.pth": SAM, "ViT-B-16/w.bin": CLIP, "ViT-B-16/tokenizer.json": TOKENIZER,
    }  # fmt: skip
    with serving(content) as files:
        yield files


@pytest.fixture
def store(mirror: Files, tmp_path: Path) -> Store:
    return Store(tmp_path / "models", mirror=f"{mirror.url}/")


def nothing(*_told: object) -> None:
    """Tells nobody."""


def test_what_is_missing_is_said_with_the_command(store: Store) -> None:
    with pytest.raises(ModelError, match=r"promptmatte models pull sam-vit-b") as caught:
        store.located("sam-vit-b")
    assert str(store.folder) in str(caught.value)
    assert store.state("sam-vit-b").name == "missing"
    with pytest.raises(ModelError, match=r"licence .*--weights"):
        store.located("sam3")
    with pytest.raises(ModelError, match="not fetched"):
        store.pulled("sam3", nothing)
    assert store.state("sam3").name == "by hand"


def test_what_was_fetched_is_there_with_no_network(store: Store, mirror: Files) -> None:
    path = store.pulled("sam-vit-b", nothing)
    assert path.read_bytes() == SAM
    assert path == store.folder / "sam-vit-b" / "b.pth"
    mirror.requests.clear()
    offline = Store(store.folder)
    assert offline.located("sam-vit-b") == offline.pulled("sam-vit-b", nothing) == path
    assert mirror.requests == []
    state = offline.state("sam-vit-b")
    assert (state.name, state.done_bytes, state.size_bytes) == ("ready", len(SAM), len(SAM))


def test_a_folder_gets_its_written_files_and_its_bytes_told_as_one(store: Store) -> None:
    told: list[tuple[str, int, int]] = []
    folder = store.pulled("ViT-B-16", lambda *words: told.append(words))
    assert folder == store.folder / "ViT-B-16"
    assert (folder / "w.bin").read_bytes() == CLIP
    assert json.loads((folder / "config.json").read_text(encoding="utf-8")) == {"layers": 2}
    fetching = [done for stage, done, _ in told if stage == "fetching"]
    assert fetching == sorted(fetching)
    assert told[-1][1] == len(CLIP) + len(TOKENIZER)
    (folder / "config.json").write_text("{", encoding="utf-8")
    store.located("ViT-B-16")
    assert json.loads((folder / "config.json").read_text(encoding="utf-8")) == {"layers": 2}


def test_a_part_is_told_and_continued(store: Store, mirror: Files) -> None:
    mirror.statuses = [404]
    folder = store.folder / "sam-vit-b"
    folder.mkdir(parents=True)
    (folder / "b.pth.partial").write_bytes(SAM[:20_000])
    state = store.state("sam-vit-b")
    assert (state.name, state.done_bytes, state.size_bytes) == ("partial", 20_000, len(SAM))
    with pytest.raises(DownloadError, match="404"):
        store.pulled("sam-vit-b", nothing)
    assert store.pulled("sam-vit-b", nothing).read_bytes() == SAM
    assert mirror.sent == len(SAM) - 20_000


def test_a_file_is_hashed_once_and_again_only_when_it_changed(store: Store) -> None:
    path = store.pulled("sam-vit-b", nothing)
    stages: list[str] = []
    store.pulled("sam-vit-b", lambda stage, *_: stages.append(stage))
    assert stages == []
    os.utime(path, ns=(1, 1))  # as after copying the cache to another machine
    store.pulled("sam-vit-b", lambda stage, *_: stages.append(stage))
    assert set(stages) == {"checking"}
    stages.clear()
    store.pulled("sam-vit-b", lambda stage, *_: stages.append(stage))
    assert stages == []


def test_a_file_put_there_by_hand_is_checked(store: Store, mirror: Files) -> None:
    path = store.path("sam-vit-b")
    path.parent.mkdir(parents=True)
    path.write_bytes(SAM)
    assert store.located("sam-vit-b") == path
    path.write_bytes(bytes(len(SAM)))
    with pytest.raises(ModelError, match=r"with sha256 .* again with promptmatte models pull"):
        store.located("sam-vit-b")
    path.write_bytes(SAM[:-1])
    assert store.state("sam-vit-b").name == "damaged"
    with pytest.raises(ModelError, match=r"with 50000 bytes; got 49999"):
        store.located("sam-vit-b")
    assert mirror.requests == []
    assert store.pulled("sam-vit-b", nothing).read_bytes() == SAM


def test_verify_finds_what_the_start_does_not_look_for(store: Store) -> None:
    path = store.pulled("sam-vit-b", nothing)
    assert [v.ok for v in store.verified("sam-vit-b", nothing)] == [True]
    stat, damaged = path.stat(), bytearray(SAM)
    damaged[123] ^= 1
    path.write_bytes(damaged)  # a bit that flipped on the disk: same size, same time
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    store.located("sam-vit-b")
    (verdict,) = store.verified("sam-vit-b", nothing)
    assert not verdict.ok
    assert "promptmatte models pull sam-vit-b" in verdict.found
    with pytest.raises(ModelError, match="sha256"):
        store.located("sam-vit-b")
    assert store.pulled("sam-vit-b", nothing).read_bytes() == SAM
    assert [v.ok for v in store.verified("sam-vit-b", nothing)] == [True]
    (missing, _) = store.verified("ViT-B-16", nothing)
    assert not missing.ok


def test_without_a_published_sha256_the_first_file_is_what_counts(
    store: Store, mirror: Files, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        folder = store.pulled("ViT-B-16", nothing)
    assert "not checked against a published sha256" in caplog.text
    assert hashlib.sha256(CLIP).hexdigest() in (folder / "w.bin.checked.json").read_text()
    found = {v.path.name: v.found for v in store.verified("ViT-B-16", nothing)}
    assert "as when it was first fetched" in found["w.bin"]
    assert found["tokenizer.json"] == "sha256 as published"
    (folder / "w.bin").unlink()
    mirror.content["ViT-B-16/w.bin"] = CLIP[::-1]
    with pytest.raises(DownloadError, match=r"expected w\.bin with sha256"):
        store.pulled("ViT-B-16", nothing)
    mirror.content["ViT-B-16/w.bin"] = CLIP
    assert (store.pulled("ViT-B-16", nothing) / "w.bin").read_bytes() == CLIP


def test_a_folder_that_cannot_be_used_is_said(store: Store) -> None:
    store.folder.mkdir(parents=True)
    (store.folder / "sam-vit-b").write_text("a file in the way")
    with pytest.raises(DownloadError, match="PROMPTMATTE_CACHE"):
        store.pulled("sam-vit-b", nothing)
    store.pulled("ViT-B-16", nothing)
    (store.folder / "ViT-B-16" / "config.json").unlink()
    (store.folder / "ViT-B-16" / "config.json").mkdir()
    with pytest.raises(ModelError, match="PROMPTMATTE_CACHE"):
        store.located("ViT-B-16")


def test_the_environment_says_where(
    mirror: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTMATTE_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("PROMPTMATTE_MIRROR", mirror.url)
    told: list[tuple[str, float]] = []
    path = fetched("sam-vit-b", lambda stage, share: told.append((stage, share)))
    assert path == located("sam-vit-b") == tmp_path / "mine" / "models" / "sam-vit-b" / "b.pth"
    assert {stage for stage, _ in told} == {"fetching sam-vit-b", "checking sam-vit-b"}
    assert (told[0][1], told[-1][1]) == (0.0, 1.0)
    monkeypatch.setenv("PROMPTMATTE_MIRROR", "ftp://example.org")
    with pytest.raises(ConfigError, match="PROMPTMATTE_MIRROR"):
        Store.from_environment()


@pytest.mark.parametrize(
    ("platform", "name", "value", "expected"),
    [
        ("win32", "LOCALAPPDATA", "{tmp}/Local", "{tmp}/Local/promptmatte/models"),
        ("darwin", "HOME", "{tmp}", "{tmp}/Library/Caches/promptmatte/models"),
        ("linux", "XDG_CACHE_HOME", "{tmp}/xdg", "{tmp}/xdg/promptmatte/models"),
        ("linux", "XDG_CACHE_HOME", "relative", "{tmp}/.cache/promptmatte/models"),
    ],
)
def test_each_platform_has_its_cache(
    platform: str, name: str, value: str, expected: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("PROMPTMATTE_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv(name, value.format(tmp=tmp_path))
    assert Store.from_environment().folder == Path(expected.format(tmp=tmp_path))
