"""promptmatte models, as typed; interrupted and out of room in real processes."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_files import PATIENCE_S, Files, serving, wait_until
from promptmatte.cli import main
from promptmatte.models.catalogue import CATALOGUE, Entry
from promptmatte.models.download import RemoteFile

SAM = random.Random(1).randbytes(60_000)
CLIP = random.Random(2).randbytes(40_000)
OTHER = random.Random(3).randbytes(30_000)
CHILD = """
import sys
from promptmatte.cli import main
from promptmatte.models.catalogue import CATALOGUE, Entry
from promptmatte.models.download import RemoteFile
name, size, sha256, limit = sys.argv[1:]
file = RemoteFile(name="b.pth", url="https://x/b.pth", size_bytes=int(size), sha256=sha256)
CATALOGUE[name] = Entry(name=name, kind="CLIP", purpose="p", licence="l", files=(file,))
if int(limit):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
sys.exit(main(["models", "pull", name]))
"""


def entry(name: str, kind: str, body: bytes, *, published: bool = True) -> Entry:
    file = RemoteFile(
        name="b.pth",
        url="https://example.org/b.pth",
        size_bytes=len(body) if published else None,
        sha256=hashlib.sha256(body).hexdigest() if published else None,
    )
    return Entry(
        name=name, kind=kind, purpose="p", licence="l", files=(file,),
        about_bytes=0 if published else len(body),
    )  # fmt: skip


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """A mirror of small models, and an empty cache."""
    bodies = {"sam-vit-b": SAM, "ViT-B-16": CLIP, "ViT-L-14": OTHER}
    for name, body in bodies.items():
        small = entry(name, CATALOGUE[name].kind, body, published=name != "ViT-L-14")
        monkeypatch.setitem(CATALOGUE, name, small)
    with serving({f"{name}/b.pth": body for name, body in bodies.items()}) as files:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("PROMPTMATTE_MIRROR", files.url)
        monkeypatch.setenv("PROMPTMATTE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("COLUMNS", "120")
        yield files


def file_of(tmp_path: Path, name: str) -> Path:
    return tmp_path / "cache" / "models" / name / "b.pth"


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, dict[str, object]]:
    assert main(["models", "list", "--json", *options]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}


def test_a_sam_comes_with_the_clip_that_reads_its_words(
    mirror: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", "sam-vit-b"]) == 0
    out = capsys.readouterr().out
    assert "sam-vit-b reads words through ViT-B-16: it comes along" in out
    assert str(file_of(tmp_path, "sam-vit-b")) in out
    assert file_of(tmp_path, "sam-vit-b").read_bytes() == SAM
    assert file_of(tmp_path, "ViT-B-16").read_bytes() == CLIP
    mirror.requests.clear()
    assert main(["models", "pull", "sam-vit-b", "ViT-B-16"]) == 0
    out = capsys.readouterr().out
    assert "comes along" not in out
    assert "ViT-B-16: was here" in out
    assert mirror.requests == []


def test_another_clip_comes_along_and_its_missing_sum_is_said(
    mirror: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", "sam-vit-b", "--clip", "ViT-L-14"]) == 0
    out = capsys.readouterr().out
    assert "ViT-L-14: fetched, not checked against a published sha256" in out
    assert not file_of(tmp_path, "ViT-B-16").exists()


def test_list_shows_what_is_here_and_what_a_choice_takes(
    mirror: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = listed(capsys)
    assert rows["sam-vit-b"]["state"] == "missing"
    assert rows["sam-vit-b"]["needs"] == ["sam-vit-b", "ViT-B-16"]
    assert rows["sam-vit-b"]["needs_bytes"] == len(SAM) + len(CLIP)
    assert rows["sam3"]["state"] == "by hand"
    assert "facebook/sam3" in str(rows["sam3"]["by_hand"])
    assert listed(capsys, "--clip", "ViT-L-14")["sam-vit-b"]["needs_bytes"] == 90_000
    assert listed(capsys, "--clip", "local-dir:/x")["sam-vit-b"]["needs"] == ["sam-vit-b"]
    main(["models", "pull", "ViT-B-16"])
    part = file_of(tmp_path, "sam-vit-b").with_name("b.pth.partial")
    part.parent.mkdir()
    part.write_bytes(SAM[:24_000])
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "partial 40%" in out
    assert "ready" in out
    for name in CATALOGUE:
        assert f" {name} " in out


def test_verify_finds_a_bad_file(
    mirror: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "verify"]) == 0
    assert "no models in" in capsys.readouterr().out
    main(["models", "pull", "sam-vit-b"])
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out.count("sha256 as published") == 2
    file_of(tmp_path, "ViT-B-16").write_bytes(CLIP[::-1])
    assert main(["models", "verify"]) == 2
    assert f"bad {file_of(tmp_path, 'ViT-B-16')}" in capsys.readouterr().out
    assert main(["models", "verify", "sam-vit-b"]) == 0
    assert main(["models", "verify", "ViT-L-14"]) == 2  # asked for, and missing
    assert main(["models", "pull", "ViT-B-16"]) == 0
    assert main(["models", "verify"]) == 0


def test_path_prints_a_path_and_nothing_else(
    mirror: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "path"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cache' / 'models'}\n"
    assert main(["models", "path", "ViT-B-16"]) == 2
    main(["models", "pull", "ViT-B-16"])
    capsys.readouterr()
    assert main(["models", "path", "ViT-B-16"]) == 0
    assert capsys.readouterr().out == f"{file_of(tmp_path, 'ViT-B-16')}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("pull sam", "expected a model of mobile-sam"),
        ("pull sam3", "accept the licence"),
        ("pull embedded", "part of the program"),
        ("pull sam-vit-b --clip ViT-B-17", "expected a CLIP of ViT-B-16"),
        ("list --clip sam-vit-b", "expected a CLIP of ViT-B-16"),
        ("verify nothing", "expected a model of"),
        ("verify sam3", "accept the licence"),
        ("path sam-vit-b", "promptmatte models pull sam-vit-b"),
        ("path sam3", "--weights"),
    ],
)
def test_bad_input_is_one_line(
    mirror: Files, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert main(["models", *words.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("promptmatte: ")
    assert error.count("\n") == 1
    assert said in error
    assert mirror.requests == []


def test_a_mirror_without_the_file_is_one_line(
    mirror: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.content.clear()
    assert main(["models", "pull", "ViT-B-16"]) == 2
    error = capsys.readouterr().err
    assert "404" in error
    assert str(file_of(tmp_path, "ViT-B-16")) in error  # where it may be copied to


def pulling(limit_bytes: int = 0) -> subprocess.Popen[str]:
    """A process that pulls ViT-B-16 and can write no file larger than the limit."""
    sha256 = hashlib.sha256(CLIP).hexdigest()
    arguments = ["ViT-B-16", str(len(CLIP)), sha256, str(limit_bytes)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a POSIX signal")
def test_ctrl_c_keeps_what_came(mirror: Files, tmp_path: Path) -> None:
    mirror.hold_at = 30_000
    part = file_of(tmp_path, "ViT-B-16").with_name("b.pth.partial")
    with pulling() as process:
        wait_until(lambda: part.exists() and part.stat().st_size == 30_000, "30,000 bytes")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, error) == (130, "")
    assert "Traceback" not in out
    assert part.stat().st_size == 30_000


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_is_one_line_and_keeps_what_came(mirror: Files, tmp_path: Path) -> None:
    with pulling(limit_bytes=25_000) as process:
        _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert "takes no more" in error
    assert "PROMPTMATTE_CACHE" in error
    part = file_of(tmp_path, "ViT-B-16").with_name("b.pth.partial")
    assert part.read_bytes() == CLIP[:25_000]
    mirror.requests.clear()
    assert main(["models", "pull", "ViT-B-16"]) == 0
    assert file_of(tmp_path, "ViT-B-16").read_bytes() == CLIP
    assert mirror.sent == 15_000
