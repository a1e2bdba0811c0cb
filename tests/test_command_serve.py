"""The server as a user runs it: real processes, real links, crashes and bad input."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from links_testing import free_zmq_address
from promptmatte.frame import Frame, FrameInfo
from promptmatte.links import open_client_link
from server_testing import Server, next_matte, promptmatte, status_of, wait_for

FULL = Path("/dev/full")


def test_two_processes_read_the_same_mattes_by_shm_and_zmq(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    address = free_zmq_address()
    examples = Path(__file__).parent.parent / "examples"
    report = tmp_path / "report.json"
    with Server(
        "--source", picture, "--prompt", "person", "--weights", tiny_weights,
        "--out", session, "--out", address, "--report", report, log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: status_of(session, server)["mattes_out"])
        readers = [
            subprocess.Popen(
                [sys.executable, str(examples / script), target.removeprefix("shm:"), "20"],
                stdout=subprocess.PIPE, text=True,
            )
            for script, target in (("read_mattes_shm.py", session), ("read_mattes_zmq.py", address))
        ]  # fmt: skip
        outputs = [reader.communicate(timeout=60)[0].splitlines() for reader in readers]
        assert [reader.returncode for reader in readers] == [0, 0]
        seqs = [{int(line.split()[2]) for line in output} for output in outputs]
        assert all(len(seen) == 20 for seen in seqs)
        assert promptmatte("stop", "--link", address).returncode == 0
        assert server.process.wait(30) == 0
    status = json.loads(report.read_text(encoding="utf-8"))
    assert status["frames_in"] == status["mattes_out"] + sum(status["dropped"].values())
    assert max(max(seen) for seen in seqs) < status["frames_in"]


def test_a_prompt_is_changed_without_an_encode(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    with Server(
        "--source", picture, "--prompt", "person", "--weights", tiny_weights, "--out", session,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: status_of(session, server)["mattes_out"])
        link = open_client_link(session)
        try:
            first = next_matte(link)
            before = status_of(session, server)
            assert promptmatte("prompt", "sky", "cat", "--link", session).returncode == 0
            wait_for(lambda: next_matte(link).prompts_version > first.prompts_version)
            after = status_of(session, server)
            shown = next_matte(link)
        finally:
            link.close()
    assert [p["text"] for p in after["prompts"]] == ["sky", "cat"]
    assert after["decodes"] == before["decodes"] + 1
    assert after["encodes"] == before["encodes"]
    assert shown.alpha.shape == (90, 160, 4)
    assert shown.anchor_seq == first.anchor_seq


@pytest.mark.parametrize("kind", ["shm", "zmq"])
def test_controls_are_set_live_and_show_in_the_next_mattes(
    kind: str, session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    address = session if kind == "shm" else free_zmq_address()
    show = tmp_path / "show.toml"
    show.write_text(
        f"source = 'test:'\nout = ['{address}']\n[controls]\nconfidence_floor = 1\nhold = 0\n"
        "[[prompt]]\ntext = 'person - hair'\nexpand = 2\n[[prompt]]\ntext = 'sky'\n",
        encoding="utf-8",
    )
    with Server(
        "--config", show, "--source", picture, "--threshold", "0.4", "--weights", tiny_weights,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: status_of(address, server)["mattes_out"])
        status = status_of(address, server)
        assert Path(status["source"]).name == picture.name
        assert [(p["text"], p["negative"]) for p in status["prompts"]] == [
            ("person", ["hair"]), ("sky", []),
        ]  # fmt: skip
        assert status["controls"]["channels"][:2] == [
            {"threshold": 0.4, "expand": 2.0, "hold": 0.0, "confidence_floor": 1.0},
            {"threshold": 0.4, "hold": 0.0, "confidence_floor": 1.0},
        ]
        link = open_client_link(address)
        try:
            wait_for(lambda: not next_matte(link).alpha.any())
            changed = promptmatte("set", "invert=on", "--prompt", "2", "--link", address)
            assert changed.returncode == 0, changed.stderr
            wait_for(lambda: next_matte(link).alpha[..., 1].min() == 255)
            assert not next_matte(link).alpha[..., [0, 2, 3]].any()
        finally:
            link.close()
        told = promptmatte("controls", "--json", "--link", address)
        values = json.loads(told.stdout)["values"]
        assert [channel["invert"] for channel in values["channels"]] == [False, True, False, False]
        assert "threshold" in promptmatte("controls", "--link", address).stdout
        for arguments, message in (
            (["set", "overlap=exclusive", "--prompt", "1"], "overlap without a prompt"),
            (["set", "invert=on", "--prompt", "5"], "prompt as a number of 1 to 4"),
        ):
            refused = promptmatte(*arguments, "--link", address)
            assert refused.returncode == 2
            assert message in refused.stderr
            assert len(refused.stderr.strip().splitlines()) == 1
        again = status_of(address, server)["controls"]
        assert again["channels"][1] == {**status["controls"]["channels"][1], "invert": True}


@pytest.mark.parametrize("kind", ["shm", "zmq"])
def test_a_killed_server_comes_back_to_the_same_reader(
    kind: str, session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    address = session if kind == "shm" else free_zmq_address()
    arguments = ("--source", picture, "--prompt", "person", "--weights", tiny_weights,
                 "--out", address)  # fmt: skip
    link = open_client_link(address)
    try:
        with Server(*arguments, log=tmp_path / "one") as server:
            status_of(address, server)
            first = next_matte(link)
            server.kill()
        wait_for(lambda: not link.status.connected)
        with Server(*arguments, log=tmp_path / "two") as server:
            status_of(address, server)
            again = wait_for(
                lambda: _other_stream(link.latest_matte(timeout_s=0.5), first.info.stream_id)
            )
            assert again.alpha.shape == first.alpha.shape
            assert link.request({"command": "ping"}, timeout_s=5.0)["ok"]
    finally:
        link.close()


def _other_stream(matte: object, stream_id: int) -> object:
    return matte if matte is not None and matte.info.stream_id != stream_id else None


def test_a_server_ends_with_the_program_that_started_it(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    starter = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "promptmatte", "serve", "--source", picture, "--out", session,
               "--weights", tiny_weights, "--until-input-ends"]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        parent = subprocess.Popen(
            [sys.executable, "-c", starter, *map(str, command)], stdout=log, stderr=log
        )
    link = open_client_link(session)
    try:
        wait_for(lambda: link.latest_matte(timeout_s=0.5))
        parent.kill()
        parent.wait()
        wait_for(lambda: not link.status.connected)
    finally:
        link.close()


def test_a_killed_reader_leaves_the_server_at_work(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    example = Path(__file__).parent.parent / "examples" / "read_mattes_shm.py"
    with Server(
        "--source", picture, "--prompt", "person", "--weights", tiny_weights, "--out", session,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: status_of(session, server)["mattes_out"])
        reader = subprocess.Popen(
            [sys.executable, str(example), session.removeprefix("shm:"), "100000"],
            stdout=subprocess.PIPE,
        )
        assert reader.stdout is not None
        assert reader.stdout.readline()
        reader.kill()
        reader.communicate()
        sent = status_of(session, server)["mattes_out"]
        wait_for(lambda: status_of(session, server)["mattes_out"] > sent)


def test_frames_of_a_client_come_back_as_mattes_of_those_frames(
    session: str, tiny_weights: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    with Server(
        "--source", session, "--prompt", "person", "--weights", tiny_weights, log=tmp_path / "log",
    ) as server:  # fmt: skip
        status_of(session, server)
        link = open_client_link(session)
        try:
            pixels = rng.integers(0, 256, (60, 80, 4), np.uint8)

            def round_trip(seq: int) -> object:
                info = FrameInfo(stream_id=77, seq=seq, pts_ns=seq, captured_ns=seq)
                link.send_frame(Frame(info=info, pixels=pixels.copy()))
                return link.latest_matte(timeout_s=0.3)

            seqs = iter(range(100_000))
            matte = wait_for(lambda: round_trip(next(seqs)))
            assert matte.info.stream_id == 77
            assert matte.alpha.shape == (60, 80, 1)
            pixels = rng.integers(0, 256, (100, 50, 3), np.uint8)
            wait_for(lambda: getattr(round_trip(next(seqs)), "size_hw", None) == (100, 50))
        finally:
            link.close()


def test_a_missing_file_is_waited_for_and_found(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    later = tmp_path / "later.png"
    with Server(
        "--source", later, "--prompt", "person", "--weights", tiny_weights, "--out", session,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: status_of(session, server)["state"].startswith("source lost"))
        picture.rename(later)
        wait_for(lambda: status_of(session, server)["mattes_out"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--source", "telepathy:1"], "expected a source"),
        (["serve", "--source", "test:", "--model", "gpt"], "expected a model of embedded"),
        (["serve", "--source", "test:", "--prompt", "  "], "expected a prompt such as"),
        (["serve", "--source", "test:", "--prompt", "x" * 5000], "at most 200 characters"),
        (["serve", "--source", "test:", *["--prompt", "a"] * 5], "at most 4 prompts"),
        (["serve", "--source", "test:", "--prompt", "a - "], "a thing to each side"),
        (["serve", "--source", "test:", "--threshold", "high"], "expected threshold as a number"),
        (["serve", "--config", "absent.toml"], "cannot read the show absent.toml"),
        (["serve", "--source", "test:", "--out", "carrier-pigeon:1"], "a link such as shm:NAME"),
        (["serve", "--source", "test:", "--out", "shm:bad/name"], "session name"),
        (["serve", "--source", "test:", "--out", "zmq:tcp://8.8.8.8:5571"], "expected CURVE keys"),
        (["serve", "--source", "test:", "--encode-hz", "0"], "expected encode_hz"),
        (["serve", "--source", "test:", "--device", "abacus"], "expected a device"),
        (["serve", "--source", "test:", "--weights", "absent.pt"], "there is no such file"),
        (["prompt", "person", "--link", "shm:nobody-here"], "nobody-here"),
        (["status", "--link", "zmq:tcp://127.0.0.1:1"], "matte port"),
        (["set", "threshold=2"], "expected threshold as a number"),
        (["set", "threshold"], "expected NAME=VALUE"),
        (["set", "treshold=0.4"], "expected a control of"),
        (["eval", "absent-folder", "--prompt", "person=255"], "found no pair"),
        (["eval", ".", "--prompt", "person"], "expected TEXT=IDS"),
        (["train", "embedded", "--data", "absent-folder"], "not a folder"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = promptmatte(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_taken_port_and_a_busy_session_are_named(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = promptmatte("serve", "--source", picture, "--out", f"zmq:tcp://127.0.0.1:{port}")
    assert done.returncode == 2
    assert str(port) in done.stderr
    with Server(
        "--source", picture, "--weights", tiny_weights, "--out", session, log=tmp_path / "log"
    ) as server:
        status_of(session, server)
        second = promptmatte("serve", "--source", picture, "--out", session)
        assert second.returncode == 2
        assert session.removeprefix("shm:") in second.stderr
        assert server.process.poll() is None


def test_a_report_that_cannot_be_written_is_known_before_the_show(
    picture: Path, tmp_path: Path
) -> None:
    done = promptmatte("serve", "--source", picture, "--report", tmp_path / "no" / "report.json")
    assert done.returncode == 2
    assert "folder that exists" in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_under_the_log_ends_no_show(
    session: str, picture: Path, tiny_weights: Path
) -> None:
    link = open_client_link(session)
    with (
        FULL.open("w") as full,
        subprocess.Popen(
            [sys.executable, "-m", "promptmatte", "serve", "--source", picture, "--out", session,
             "--prompt", "person", "--weights", tiny_weights, "--metrics", "0", "--osc", "0"],
            stdin=subprocess.DEVNULL, stdout=full, stderr=full,
        ) as server,
    ):  # fmt: skip
        try:
            wait_for(lambda: server.poll() is not None or link.latest_matte(timeout_s=0.5))
            assert server.poll() is None
            assert link.request({"command": "stop"}, timeout_s=10.0)["ok"]
            assert server.wait(30) == 0
        finally:
            link.close()
            server.kill()
