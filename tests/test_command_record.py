"""Recording as a user does it: a real server, its files, kill -9, a full disk."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from promptmatte.frame import Frame, FrameInfo
from promptmatte.links import open_client_link
from recording_testing import read_back
from server_testing import Server, promptmatte, status_of, wait_for

from benchmarks.faults.recorded import number_in, numbered

EVERYTHING = ("--prompt", "person", "--confidence-floor", "1", "--hold", "0", "--invert")
"""A matte that is full everywhere, whatever a network with random weights finds."""


@contextmanager
def numbered_frames(session: str) -> Iterator[None]:
    """Sends frames that carry their number, about 25 a second, in the background."""
    link = open_client_link(session)
    over = threading.Event()

    def send() -> None:
        seq = 0
        while not over.wait(0.04):
            plane = numbered(seq)
            info = FrameInfo(stream_id=3, seq=seq, pts_ns=0, captured_ns=time.monotonic_ns())
            link.send_frame(Frame(info=info, pixels=np.dstack([plane] * 3)))
            seq += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        link.close()


def recording_of(session: str, server: Server) -> dict[str, Any]:
    recording = status_of(session, server)["recording"]
    assert isinstance(recording, dict)
    return recording


def assert_shows_frames(path: Path, least: int) -> None:
    """So many pictures at least, in their order, each under a full matte."""
    shown = read_back(path)
    assert len(shown) >= least
    times_s = [time_s for time_s, _ in shown]
    assert times_s == sorted(set(times_s))
    numbers = [number_in(rgba[..., 0]) for _, rgba in shown]
    steps = np.mod(np.diff(numbers), 256)
    assert steps.min() >= 1
    assert np.median(steps) <= 8
    assert min(rgba[..., 3].min() for _, rgba in shown) >= 250


@pytest.mark.parametrize("name", ["show.mov", "show.webm", "show"])
def test_a_killed_server_leaves_files_that_play(
    session: str, tiny_weights: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    with Server(
        "--source", session, *EVERYTHING, "--weights", tiny_weights, "--record", path,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        status_of(session, server)
        with numbered_frames(session):
            told = wait_for(lambda: (r := recording_of(session, server))["frames"] >= 80 and r)
            server.kill()
    assert told["state"] == "recording"
    assert told["file"] == str(path)
    # half a second of 25 a second, and what the encoder held
    assert_shows_frames(path, told["frames"] - 20)
    assert f"recording recording: {path}" in server.said()


def test_a_recording_is_switched_on_and_off_while_the_mattes_go_on(
    session: str, tiny_weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "show.mov"
    show = tmp_path / "show.toml"
    show.write_text(f"record = '{path.as_posix()}'\nrecord_later = true\n", encoding="utf-8")
    with Server(
        "--source", session, *EVERYTHING, "--weights", tiny_weights, "--config", show,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        status_of(session, server)
        with numbered_frames(session):
            wait_for(lambda: status_of(session, server)["mattes_out"] >= 10)
            assert recording_of(session, server)["state"] == "off"
            for _ in range(2):
                done = promptmatte("record", "on", "--link", session)
                assert done.returncode == 0, done.stderr
                wait_for(lambda: recording_of(session, server)["frames"] >= 20)
                done = promptmatte("record", "off", "--link", session)
                assert "recording finished" in done.stdout
            sent = status_of(session, server)["mattes_out"]
            wait_for(lambda: status_of(session, server)["mattes_out"] > sent)
            assert promptmatte("record", "on", "--link", session).returncode == 0
            wait_for(lambda: recording_of(session, server)["frames"] >= 20)
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(60) == 0
    for name in ("show.mov", "show-2.mov", "show-3.mov"):
        assert_shows_frames(tmp_path / name, 20)


def test_a_server_without_a_place_to_record_to_says_so(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    with Server(
        "--source", picture, "--weights", tiny_weights, "--out", session, log=tmp_path / "log"
    ) as server:
        assert status_of(session, server)["recording"] is None
        done = promptmatte("record", "on", "--link", session)
    assert done.returncode == 2
    assert "start it with --record FILE" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux limits the files of another process"
)
@pytest.mark.parametrize("name", ["show.mov", "show"])
def test_a_full_disk_stops_the_recording_and_not_the_mattes(
    session: str, tiny_weights: Path, tmp_path: Path, name: str
) -> None:
    import resource

    path = tmp_path / name
    with Server(
        "--source", session, *EVERYTHING, "--weights", tiny_weights, "--record", path,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        status_of(session, server)
        with numbered_frames(session):
            wait_for(lambda: recording_of(session, server)["frames"] >= 30)
            # The biggest a file may become: that of the recording is, or the next picture.
            limit = path.stat().st_size + 50_000 if path.is_file() else 100
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
            failed = wait_for(
                lambda: (r := recording_of(session, server))["state"] == "failed" and r
            )
            assert "File too large" in failed["error"]
            assert str(path) in failed["error"]
            sent = status_of(session, server)["mattes_out"]
            wait_for(lambda: status_of(session, server)["mattes_out"] > sent + 10)
            assert recording_of(session, server) == failed
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(60) == 0
    assert_shows_frames(path, 20)
    if name == "show.mov":
        assert server.said().count("File too large") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--record", "a.avi"], "ending in .mov (ProRes 4444) or .webm (VP9)"),
        (["--record", "none/a.mov"], "in a folder that exists"),
        (["--record", "a.mov", "--record-what", "sound"], "expected to record rgba or matte"),
        (["--record-later"], "--record FILE with --record-later"),
    ],
)
def test_a_recording_that_cannot_be_is_refused_at_once(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = promptmatte("serve", "--source", "test:", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
