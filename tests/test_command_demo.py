"""promptmatte demo: the whole of it for two seconds, its parts, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from links_testing import wait_for
from promptmatte.cli import main
from promptmatte.commands.demo import session_name
from promptmatte.commands.demo_reader import ReaderCounts, keep
from promptmatte.commands.demo_record import (
    panel_hw,
    read_records,
    record_of,
    shrunk,
    solid_of,
)
from promptmatte.commands.demo_replay import Replay
from promptmatte.commands.demo_report import DemoFiles
from promptmatte.commands.demo_server import DemoServer
from promptmatte.errors import ConfigError, PromptMatteError
from promptmatte_shm import ClientSession, FrameInfo, Matte, ServerSession, SessionNotFoundError
from promptmatte_shm.directory import Directory
from sources_testing import LEVEL_STEP, write_video

DEADLINE_S = 180.0


def matte(seq: int, alpha: np.ndarray, stream_id: int = 5) -> Matte:
    return Matte(
        info=FrameInfo(stream_id=stream_id, seq=seq, pts_ns=seq * 40_000_000, captured_ns=0),
        alpha=np.array(alpha, np.uint8)[..., None],
        anchor_seq=seq, age_ms=12.5, confidence=(0.75,), prompts_version=1,
    )  # fmt: skip


def test_demo_end_to_end(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["demo", "--headless", "--seconds", "2", "--weights", str(tiny_weights)]
    assert main([*arguments, "--out", str(tmp_path / "new" / "demo")]) == 0
    folder = tmp_path / "new" / "demo"
    assert sorted(p.name for p in folder.iterdir()) == [
        "contact-sheet.png", "demo.mp4", "report.json",
    ]  # fmt: skip
    report = json.loads((folder / "report.json").read_text())
    assert list(report) == [
        "model", "device", "source_size", "frames_in", "mattes_out", "matte_fps", "keyframe_hz",
        "latency_ms", "dropped", "miou", "reader",
    ]  # fmt: skip
    assert report["model"] == "embedded"
    assert report["source_size"] == [960, 540]
    assert report["frames_in"] == report["mattes_out"] + sum(report["dropped"].values())
    assert 0 < report["reader"]["frames"] <= report["mattes_out"]
    assert (report["reader"]["torn"], report["reader"]["stale"]) == (0, 0)
    assert 0 <= report["miou"] <= 1
    assert sorted(report["latency_ms"]) == ["p50", "p95", "p99"]
    with av.open(str(folder / "demo.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == report["reader"]["frames"]
    assert frames[0].shape == (270, 3 * 480, 3)
    assert cv2.imread(str(folder / "contact-sheet.png")).shape[1] > 3 * 400
    shown = capsys.readouterr().out
    assert str(folder / "demo.mp4") in shown
    with pytest.raises(SessionNotFoundError):
        Directory.attach(session_name(os.getpid()))


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_interrupt_leaves_no_process_and_no_memory(tmp_path: Path, tiny_weights: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "promptmatte", "demo", "--headless", "--seconds", "100",
         "--weights", str(tiny_weights), "--out", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        with ClientSession(session_name(process.pid)) as session:
            assert session.latest_matte(DEADLINE_S) is not None
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SessionNotFoundError):
        Directory.attach(session_name(process.pid))
    wait_for(lambda: not _group_lives(process.pid))


def _group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def test_reader_counts_and_keeps_mattes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    alphas = {seq: rng.integers(0, 256, (54, 97), np.uint8) for seq in (3, 4, 8)}
    kept = tmp_path / "mattes.bin"
    with (
        ThreadPoolExecutor(1) as pool,
        ClientSession("demo-reader-test") as session,
        ServerSession("demo-reader-test") as server,
    ):
        counting = pool.submit(keep, session, seconds=600, folder=tmp_path)
        for sent, seq in enumerate((3, 4, 4, 8), start=1):
            server.send_matte(matte(seq, alphas[seq]))
            wait_for(lambda sent=sent: session.status.received == sent)
        server.close()
        counts = counting.result(DEADLINE_S)
    assert counts == ReaderCounts(frames=4, torn=0, stale=1, size_hw=(54, 97))
    records = read_records(kept, (54, 97))
    assert records["seq"].tolist() == [3, 4, 8]
    for record in records:
        alpha = alphas[int(record["seq"])]
        np.testing.assert_array_equal(solid_of(record, (54, 97)), alpha >= 128)
        np.testing.assert_array_equal(record["alpha"], shrunk(alpha, panel_hw((54, 97))))
        assert record["confidence"] == 0.75


@pytest.mark.parametrize(("thing", "miou"), [("person", 1.0), ("cat", 0.0), ("boat", None)])
def test_report_measures_against_the_truth(tmp_path: Path, thing: str, miou: float | None) -> None:
    """Mattes that are the truth of the person, asked for under three names."""
    replay = Replay("test:")
    kept = tmp_path / "mattes.bin"
    seqs = range(110, 119, 2)
    with kept.open("wb") as file:
        for seq in seqs:
            truth = replay.truth(seq, "person")
            assert truth is not None
            file.write(record_of(matte(seq, truth * 255)))
    records = read_records(kept, (540, 960))
    files = DemoFiles(tmp_path, records=records, size_hw=(540, 960), replay=replay, prompt=thing)
    files.write(records)
    assert files.miou == miou
    with av.open(str(files.video)) as video:
        times = [frame.time for frame in video.decode(video=0)]
    np.testing.assert_allclose(times, [(seq - 110) * 0.04 for seq in seqs], atol=1e-3)


def test_composite_keeps_the_thing_and_replaces_the_rest(tmp_path: Path) -> None:
    replay = Replay("test:person")
    kept = tmp_path / "mattes.bin"
    truth = replay.truth(30, "person")
    assert truth is not None
    kept.write_bytes(record_of(matte(30, truth * 255)) * 6)
    records = read_records(kept, (540, 960))
    files = DemoFiles(tmp_path, records=records, size_hw=(540, 960), replay=replay, prompt="x")
    files.write(records)
    sheet = cv2.imread(str(files.sheet))[..., ::-1].astype(int)
    width = (sheet.shape[1] - 8) // 3
    left, middle, right = (sheet[80:200, 8 + i * width : i * width + 400] for i in range(3))
    inside, outside = (middle > 250).all(axis=2), (middle < 5).all(axis=2)
    assert inside.any()
    assert outside.any()
    assert np.abs(left - right)[inside].mean() < 2
    assert np.abs(left - right)[outside].mean() > 20


def test_replay_finds_frames_of_a_looping_video(tmp_path: Path) -> None:
    replay = Replay(str(write_video(tmp_path / "grey.mp4", frames=6)))
    for seq in (0, 4, 4, 6 + 3):
        level = replay.picture(seq)[20:28, 20:28].mean()
        assert abs(level - seq % 6 * LEVEL_STEP) < LEVEL_STEP / 2
    assert replay.truth(4, "person") is None
    replay.close()


@pytest.mark.parametrize("source", ["camera:0", "shm:other", "zmq:", "rtsp://camera/1"])
def test_replay_refuses_live_sources(source: str) -> None:
    with pytest.raises(ConfigError, match="can be played twice"):
        Replay(source)


def test_server_that_cannot_start_is_quoted(tmp_path: Path) -> None:
    server = DemoServer("demo-no-start", ["--no-such-option"], folder=tmp_path)
    with pytest.raises(PromptMatteError, match="--no-such-option"):
        server.wait_until_running()
    server.close()


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--seconds", "0"], "expected --seconds"),
        (["--seconds", "nan"], "expected --seconds"),
        (["--prompt", " "], "expected a prompt"),
        (["--source", "camera:0"], "played twice"),
        (["--source", "test:boat"], "boat"),
    ],
)
def test_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str], says: str
) -> None:
    assert main(["demo", "--headless", "--out", str(tmp_path / "demo"), *option]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_refuses_a_file_for_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("here already")
    assert main(["demo", "--headless", "--out", str(tmp_path / "taken")]) == 2
    assert "expected a folder" in capsys.readouterr().err
