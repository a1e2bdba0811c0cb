"""The examples, run as somebody would run them, beside a real server."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from links_testing import PATIENCE_S, free_address, make_matte
from promptmatte.frame import PixelFormat
from promptmatte.links import ServerLink, open_server_link

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(kind: str, address: str, count: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, EXAMPLES / f"read_mattes_{kind}.py", address, str(count)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def send_until(server: ServerLink, stop: threading.Event) -> None:
    seq = 0
    while not stop.is_set():
        server.send_matte(make_matte(seq, (36, 64), PixelFormat.RGBA8))
        seq += 1
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["shm", "zmq"])
def test_the_reader_prints_a_line_a_matte(kind: str) -> None:
    address = free_address(kind)
    server = open_server_link(address)
    stop = threading.Event()
    sending = threading.Thread(target=send_until, args=(server, stop))
    sending.start()
    try:
        done = run(kind, address, 5)
    finally:
        stop.set()
        sending.join()
        server.close()
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
    done = run(kind, free_address(kind), 1)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "is the server running?" in done.stderr


def test_the_readme_shows_the_example_that_runs() -> None:
    example = (EXAMPLES / "read_mattes_shm.py").read_text(encoding="utf-8")
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    assert example[example.index("import sys") :] in readme
