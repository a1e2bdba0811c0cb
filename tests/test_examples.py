"""The examples, run as somebody would run them, beside a real server."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from links_testing import PATIENCE_S, free_address, make_matte
from promptmatte.frame import Matte, PixelFormat
from promptmatte.links import open_server_link

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(example: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{example}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        check=False,
    )


def matte(seq: int, fill_format: PixelFormat | None) -> Matte:
    return make_matte(seq, (36, 64), PixelFormat.RGBA8, fill_format)


@contextlib.contextmanager
def sending(address: str, fill_format: PixelFormat | None) -> Iterator[None]:
    """A server that sends mattes with such a fill."""
    server = open_server_link(address)
    stop = threading.Event()

    def send() -> None:
        seq = 0
        while not stop.is_set():
            server.send_matte(matte(seq, fill_format))
            seq += 1
            time.sleep(0.01)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        server.close()


@pytest.mark.parametrize("fill_format", [None, PixelFormat.RGB8])
@pytest.mark.parametrize("kind", ["shm", "zmq"])
def test_the_reader_prints_a_line_a_matte(kind: str, fill_format: PixelFormat | None) -> None:
    address = free_address(kind)
    with sending(address, fill_format):
        done = run(f"read_mattes_{kind}", address, 5)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    seqs = [int(line.split()[2]) for line in lines]
    assert len(seqs) == 5
    assert seqs == sorted(set(seqs))
    for seq, line in zip(seqs, lines, strict=True):
        age = f"age {1.5 * seq:.0f} ms"
        assert line == f"64x36x4 seq {seq} {age} confidence [0.25, 1.0, 0.0, 0.5]"


@pytest.mark.parametrize("kind", ["shm", "zmq"])
def test_the_reader_says_that_there_is_no_server(kind: str) -> None:
    done = run(f"read_mattes_{kind}", free_address(kind), 1)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "is the server running?" in done.stderr


@pytest.mark.parametrize("fill_format", [PixelFormat.RGB8, PixelFormat.RGBA8])
def test_the_composite_is_of_the_matte_and_its_own_picture(
    fill_format: PixelFormat, tmp_path: Path
) -> None:
    address, path = free_address("shm"), tmp_path / "composite.ppm"
    with sending(address, fill_format):
        done = run("composite_shm", address, 5, path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    last = matte(int(lines[-1].split()[1].removesuffix(":")), fill_format)
    green = np.array([0, 177, 64])
    if fill_format is PixelFormat.RGB8:
        alpha = last.alpha[..., :1] / 255
        expected = last.fill * alpha + green * (1 - alpha)
    else:
        expected = last.fill[..., :3] + green * (1 - last.fill[..., 3:] / 255)
    header, pixels = path.read_bytes().split(b"\n", 1)
    assert header == b"P6 64 36 255"
    got = np.frombuffer(pixels, np.uint8).reshape(36, 64, 3)
    # random bytes are no premultiplied picture: only where they do not overflow
    fits = expected < 255
    np.testing.assert_allclose(got[fits], expected[fits], atol=0.51)


def test_the_composite_says_what_is_missing(tmp_path: Path) -> None:
    address = free_address("shm")
    alone = run("composite_shm", address, 1, tmp_path / "a.ppm")
    with sending(address, None):
        bare = run("composite_shm", address, 1, tmp_path / "b.ppm")
    assert (alone.returncode, bare.returncode) == (1, 1)
    assert alone.stderr.count("\n") == bare.stderr.count("\n") == 1
    assert "is the server running?" in alone.stderr
    assert "set the control fill" in bare.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_readme_shows_the_example_that_runs() -> None:
    example = (EXAMPLES / "read_mattes_shm.py").read_text(encoding="utf-8")
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    assert example[example.index("import sys") :] in readme


def test_models_are_compared_on_a_folder_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "images" / name), rng.integers(0, 256, (60, 80, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "masks" / name), np.eye(60, 80, dtype=np.uint8))
    table = tmp_path / "table.json"
    done = run("compare_models", tmp_path, "--prompt", "person=1", "--json", table)
    assert done.returncode == 0, done.stderr
    [row] = json.loads(table.read_text(encoding="utf-8"))["rows"]
    assert row["model"] == "embedded"
    assert 0.0 <= row["mean IoU"] <= 1.0
    refused = run("compare_models", tmp_path / "absent")
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
