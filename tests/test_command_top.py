"""promptmatte top: what it shows of a real server, and that it outlives it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from promptmatte.commands.top import History, sparkline, view
from rich.console import Console
from server_testing import Server, promptmatte, status_of, wait_for

EVIL = "[red]person[/red] :smile:"


def shown(history: History) -> str:
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(view(history, link="shm:x"))
    return console.export_text()


@contextmanager
def terminal(*arguments: object) -> Iterator[list[bytes]]:
    """The command in a terminal of its own; what it has drawn so far."""
    pty = pytest.importorskip("pty", reason="terminals of this kind are POSIX")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "promptmatte", "top", *map(str, arguments)],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
    )  # fmt: skip
    os.close(theirs)
    drawn: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                drawn.append(data)
        except OSError:
            return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield drawn
        process.send_signal(2)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()
        os.close(ours)


def test_it_follows_a_server_that_is_killed_and_started_again(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    options = (
        "--source", picture, "--weights", tiny_weights, "--out", session, "--prompt", EVIL,
    )  # fmt: skip
    with terminal("--link", session) as drawn:

        def sees(text: str) -> bool:
            return text in b"".join(drawn).decode("utf-8", "replace")

        wait_for(lambda: sees("no answer") and sees("expected a server in session"))
        with Server(*options, log=tmp_path / "log") as server:
            wait_for(lambda: sees(EVIL) and sees(" running"))
            server.kill()
        drawn.clear()
        wait_for(lambda: sees("no answer"))
        drawn.clear()
        with Server(*options, log=tmp_path / "log"):
            wait_for(lambda: sees(" running"))


def test_without_a_terminal_it_looks_once(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    nobody = promptmatte("top", "--link", session)
    assert nobody.returncode == 2
    assert len(nobody.stderr.strip().splitlines()) == 1
    with Server(
        "--source", picture, "--weights", tiny_weights, "--out", session, "--prompt", "person",
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: status_of(session, server)["mattes_out"] > 3)
        done = promptmatte("top", "--link", session)
    assert done.returncode == 0, done.stderr
    for word in ("running", "person", "mattes", "keyframes", "latency", session):
        assert word in done.stdout


def test_an_interval_that_cannot_be_is_refused() -> None:
    for interval in ("0", "-1", "nan"):
        done = promptmatte("top", "--interval", interval)
        assert done.returncode == 2
        assert "expected --interval as 0.1 or more" in done.stderr


def status(**changed: object) -> dict[str, object]:
    return {
        "state": "running", "source": "test:", "size": [540, 960], "model": "embedded",
        "device": "cpu", "frames_in": 100, "mattes_out": 90, "dropped": {"busy": 10},
        "matte_fps": 30.0, "keyframe_hz": 5.0, "age_ms": 120.0,
        "latency_ms": {"p50": 20.0, "p95": 30.0, "p99": 40.0},
        "prompts": [
            {"text": EVIL, "also": ["dog"], "negative": ["hair"], "confidence": 0.5},
            {"text": "sky", "also": [], "negative": [], "confidence": None},
        ],
        "links": [
            {"address": "shm:x", "connected": True, "sent": 90, "received": 0, "missed": 1,
             "torn": 2, "rejected": 3, "errors": 4, "error": "it hangs"},
        ],
        "recording": None, "notes": ["'blorp' is not known"], "notice": None, "errors": None,
        **changed,
    }  # fmt: skip


def test_drops_are_shown_a_second_by_cause_and_begin_anew_with_a_server() -> None:
    history = History()
    history.add(status(), 10.0)
    assert history.drops_per_s == {}
    history.add(status(frames_in=200, dropped={"busy": 30, "late": 4}), 12.0)
    assert history.drops_per_s == {"busy": 10.0, "late": 2.0}
    history.add(status(frames_in=5, dropped={"busy": 1}), 13.0)
    assert history.drops_per_s == {"busy": 1.0}
    text = shown(history)
    assert "busy 1 (1.0 a second)" in text


def test_texts_from_outside_are_shown_as_they_are() -> None:
    history = History()
    history.add(status(), 0.0)
    text = shown(history)
    assert f"{EVIL} + dog - hair" in text
    assert "'blorp' is not known" in text
    assert "shm:x: it hangs" in text
    assert "50%" in text
    history.trouble = "[bold]gone"
    assert "[bold]gone" in shown(history)


def test_a_server_that_is_still_loading_is_shown() -> None:
    history = History()
    nothing = {"p50": None, "p95": None, "p99": None}
    history.add(status(state="loading 10%", size=None, age_ms=None, latency_ms=nothing), 0.0)
    assert "loading 10%" in shown(history)


def test_the_highest_value_is_a_full_block() -> None:
    assert sparkline([0.0, 5.0, 10.0]) == "▁▅█"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([]) == ""
