"""Spout, Syphon and virtual cameras up to the edge of their libraries, which are stood in for by
modules with the same names and signatures (tests/vendor_standins), in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from links_testing import make_frame, make_matte
from promptmatte.errors import ConfigError
from promptmatte.frame import PixelFormat
from promptmatte.links import normalized_address, open_client_link, open_server_link
from promptmatte.recording.pictures import paint_cut_out
from promptmatte.vendors import main_thread_work
from promptmatte.vendors.syphon import RUN_LOOP_S, Announcer
from server_testing import Server, next_matte, promptmatte, status_of, wait_for

HERE = Path(__file__).parent
SIZES = ((4, 6), (4, 6), (7, 5))
SENDERS = [("spout:Stage", "Windows"), ("syphon:Stage", "Darwin"), ("virtualcam:Stage", "Linux")]


class Vendor:
    """The record of a stand-in, and the environment that puts it in the place of its original."""

    def __init__(self, folder: Path, fault: str = "") -> None:
        self.path = folder / "calls.jsonl"
        self.env = {
            "PYTHONPATH": os.pathsep.join(
                [str(HERE / "vendor_standins"), str(HERE), *filter(None, sys.path)]
            ),
            "VENDOR_RECORD": str(self.path),
            "VENDOR_FAULT": fault,
        }

    def calls(self, *names: str) -> list[dict[str, Any]]:
        """The calls so far, of these names."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        made = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return [call for call in made if not names or call["call"] in names]

    def peer(self, *arguments: str) -> dict[str, Any]:
        """What sink_peer.py prints."""
        done = subprocess.run(
            [sys.executable, str(HERE / "sink_peer.py"), *arguments],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


def cut_out(seq: int, size_hw: tuple[int, int]) -> np.ndarray:
    """What sink_peer.py offers, painted."""
    rgba = np.empty((*size_hw, 4), np.uint8)
    channels = PixelFormat.RGBA8 if seq % 2 else PixelFormat.GRAY8
    paint_cut_out(make_frame(seq, size_hw), make_matte(seq, size_hw, channels), rgba)
    assert np.array_equal(rgba[..., 3], make_matte(seq, size_hw, channels).alpha.max(axis=2))
    return rgba


def sent(call: dict[str, Any], size_hw: tuple[int, int], channels: int) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(call["pixels"]), np.uint8).reshape(*size_hw, channels)


def sizes(*sizes_hw: tuple[int, int]) -> list[str]:
    return [f"{height}x{width}" for height, width in sizes_hw]


def test_spout_gets_the_rows_as_they_are_and_another_sender_for_another_size(
    tmp_path: Path,
) -> None:
    vendor = Vendor(tmp_path)
    status = vendor.peer("sink", "spout:My Stage", "Windows", *sizes(*SIZES))
    assert (status["sent"], status["errors"], status["connected"]) == (3, 0, True)
    for seq, (call, size_hw) in enumerate(zip(vendor.calls("sendImage"), SIZES, strict=True)):
        assert (call["height"], call["width"]) == size_hw
        assert (call["format"], call["invert"], call["fbo"]) == (0x1908, False, 0)
        assert np.array_equal(sent(call, size_hw, 4), cut_out(seq, size_hw))
    assert [call["call"] for call in vendor.calls()] == [
        "setSenderName", "sendImage", "sendImage", "releaseSender", "closeOpenGL",
        "setSenderName", "sendImage", "releaseSender", "closeOpenGL",
    ]  # fmt: skip
    assert vendor.calls("setSenderName")[0]["name"] == "My Stage"


def test_syphon_gets_straight_rgba_to_be_turned_over_and_another_server_for_another_size(
    tmp_path: Path,
) -> None:
    vendor = Vendor(tmp_path)
    status = vendor.peer("sink", "syphon:Stage", "Darwin", *sizes(*SIZES))
    assert (status["sent"], status["errors"]) == (3, 0)
    for seq, (call, size_hw) in enumerate(zip(vendor.calls("publish"), SIZES, strict=True)):
        assert (call["height"], call["width"]) == size_hw
        assert (call["format"], call["is_flipped"]) == (70, True)
        assert np.array_equal(sent(call, size_hw, 4), cut_out(seq, size_hw))
    assert [call["call"] for call in vendor.calls()] == [
        "SyphonMetalServer", "publish", "publish", "stop", "SyphonMetalServer", "publish", "stop",
    ]  # fmt: skip


def test_a_virtual_camera_shows_the_cut_out_over_green_at_even_sizes(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    status = vendor.peer("sink", "virtualcam:", "Linux", *sizes(*SIZES))
    assert (status["sent"], status["errors"]) == (3, 0)
    cameras = vendor.calls("Camera")
    assert [(c["height"], c["width"], c["fmt"], c["device"]) for c in cameras] == [
        (4, 6, "RGB", None), (6, 4, "RGB", None),
    ]  # fmt: skip
    for seq, (call, size_hw) in enumerate(zip(vendor.calls("send"), SIZES, strict=True)):
        height, width = (side // 2 * 2 for side in size_hw)
        rgba = cut_out(seq, size_hw)[:height, :width].astype(float)
        alpha = rgba[..., 3:] / 255
        wanted = rgba[..., :3] * alpha + np.array([0, 0xB1, 0x40]) * (1 - alpha)
        np.testing.assert_allclose(sent(call, (height, width), 3), wanted, atol=1)
    assert vendor.calls()[-1]["call"] == "close"


@pytest.mark.parametrize(("address", "system"), SENDERS)
def test_what_a_sender_raises_is_counted_and_another_is_opened(
    tmp_path: Path, address: str, system: str
) -> None:
    vendor = Vendor(tmp_path, "raise:2")
    status = vendor.peer("sink", address, system, *sizes(*[(4, 6)] * 4))
    assert (status["sent"], status["errors"], status["error"]) == (2, 2, None)
    opened = vendor.calls("setSenderName", "SyphonMetalServer", "Camera")
    assert len(opened) == 3
    broken = Vendor(tmp_path, "raise:99").peer("sink", address, system, "4x6")
    assert (broken["errors"], broken["error"]) == (1, "the driver is gone")
    assert broken["connected"] is False


@pytest.mark.parametrize(("address", "system"), SENDERS)
def test_a_sender_that_hangs_is_named_and_left_behind(
    tmp_path: Path, address: str, system: str
) -> None:
    status = Vendor(tmp_path, "hang").peer("sink", address, system, "4x6")
    assert (status["sent"], status["connected"]) == (0, False)
    assert status["error"].startswith("hangs: a picture was not taken for ")


@pytest.mark.parametrize("fault", ["no GL", "refuse"])
def test_a_machine_without_opengl_and_a_driver_that_refuses_are_told(
    tmp_path: Path, fault: str
) -> None:
    status = Vendor(tmp_path, fault).peer("sink", "spout:Stage", "Windows", "4x6")
    assert status["errors"] == 1
    assert {"no GL": "OpenGL", "refuse": "did not take"}[fault] in status["error"]


def test_a_spout_sender_is_a_source(tmp_path: Path) -> None:
    vendor = Vendor(tmp_path)
    picture = vendor.peer("source", "spout:Stage", "Windows")
    rgba = np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4)
    assert np.array_equal(sent(picture, (4, 6), 3), rgba[..., :3])
    assert [call["call"] for call in vendor.calls()] == ["releaseReceiver", "closeOpenGL"]
    missing = vendor.peer("source", "spout:Nobody", "Windows")["error"]
    assert missing.startswith(
        "SourceError: expected a Spout sender called Nobody; found Stage, Other: "
    )


@pytest.mark.parametrize("name", ["Out", "Mixer - Out", "Mixer"])
def test_a_syphon_server_is_a_source_by_its_name_or_that_of_its_program(
    tmp_path: Path, name: str
) -> None:
    vendor = Vendor(tmp_path)
    picture = vendor.peer("source", f"syphon:{name}", "Darwin")
    bgra = np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4)
    assert np.array_equal(sent(picture, (4, 6), 3), bgra[::-1, :, 2::-1])
    assert vendor.calls("SyphonMetalClient")[0]["app"] == "Mixer"
    assert [call["call"] for call in vendor.calls()][1:] == ["client stopped", "directory closed"]


def test_a_syphon_server_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    missing = Vendor(tmp_path).peer("source", "syphon:Nobody", "Darwin")["error"]
    assert missing.startswith(
        "SourceError: expected a Syphon server called Nobody; found Show - Stage, Mixer - Out: "
    )


def test_a_server_sends_its_cut_outs_and_reports_them(
    tmp_path: Path, session: str, picture: Path, tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    vendor = Vendor(tmp_path)
    for name, value in vendor.env.items():
        monkeypatch.setenv(name, value)
    with Server(
        "--source", picture, "--weights", tiny_weights, "--prompt", "person", "--out", session,
        "--out", "virtualcam:Stage", "--seconds", "120", log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: len(vendor.calls("send")) > 2)
        entries = {entry["address"]: entry for entry in status_of(session, server)["links"]}
        camera = entries["virtualcam:Stage"]
        assert (camera["connected"], camera["errors"], camera["error"]) == (True, 0, None)
        assert camera["sent"] > 2
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(30) == 0, server.said()
    assert vendor.calls("Camera")[0]["device"] == "Stage"
    assert vendor.calls()[-1]["call"] == "close"


def test_mattes_go_on_while_a_sender_hangs(
    tmp_path: Path, session: str, picture: Path, tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    vendor = Vendor(tmp_path, "hang")
    for name, value in vendor.env.items():
        monkeypatch.setenv(name, value)
    with Server(
        "--source", picture, "--weights", tiny_weights, "--prompt", "person", "--out", session,
        "--out", "virtualcam:Stage", "--seconds", "120", log=tmp_path / "log",
    ) as server:  # fmt: skip
        status_of(session, server)
        client = open_client_link(session)
        try:
            wait_for(lambda: vendor.calls("hangs"))
            first = next_matte(client).info.seq
            wait_for(lambda: next_matte(client).info.seq > first + 20)
        finally:
            client.close()

        def hanging() -> dict[str, Any] | None:
            entry = status_of(session, server)["links"][-1]
            return entry if entry["error"] else None

        entry = wait_for(hanging)
        assert entry["error"].startswith("hangs")
        assert (entry["sent"], entry["connected"]) == (0, False)
        assert entry["missed"] > 0
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(30) == 0, server.said()


@pytest.mark.parametrize(
    ("option", "address", "message"),
    [
        ("--out", "spout:Stage", "expected Windows for spout:; got "),
        ("--source", "spout:Stage", "expected Windows for spout:; got "),
        ("--out", "syphon:Stage", "expected macOS for syphon:; got "),
        ("--source", "syphon:Stage", "expected macOS for syphon:; got "),
        ("--source", "virtualcam:", "expected camera:NUMBER for a camera; got virtualcam:"),
        ("--out", "ndi:", "expected ndi:NAME, a name of up to 128 printable letters; got 'ndi:'"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the messages are those of Linux")
def test_what_cannot_be_used_here_is_one_line_and_exit_code_2(
    tmp_path: Path, session: str, tiny_weights: Path, option: str, address: str, message: str
) -> None:
    arguments = {"--source": "test:disc", "--out": session, option: address}
    done = promptmatte(
        "serve", "--weights", tiny_weights, *(part for pair in arguments.items() for part in pair)
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"promptmatte: {message}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "system", "package"),
    [
        ("ndi:Stage", "Linux", "cyndilib"),
        ("spout:Stage", "Windows", "SpoutGL"),
        ("syphon:Stage", "Darwin", "syphon-python"),
        ("virtualcam:", "Linux", "pyvirtualcam"),
    ],
)
@pytest.mark.parametrize("end", ["sink", "source"])
def test_a_missing_package_is_named_with_the_command_that_brings_it(
    tmp_path: Path, end: str, address: str, system: str, package: str
) -> None:
    kind = address.partition(":")[0]
    if end == "source" and kind == "virtualcam":
        return
    vendor = Vendor(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "for name in ('cyndilib', 'SpoutGL', 'syphon', 'pyvirtualcam'):\n"
        "    sys.modules[name] = None\n"
    )
    vendor.env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), vendor.env["PYTHONPATH"]])
    assert vendor.peer(end, address, system)["error"] == (
        f"ConfigError: expected the package {package} for {kind}:; got none: "
        f"python -m pip install 'promptmatte[{kind}]'"
    )


def test_a_library_that_does_not_load_says_why(tmp_path: Path) -> None:
    (tmp_path / "SpoutGL.py").write_text("raise ImportError('DLL load failed')\n")
    vendor = Vendor(tmp_path)
    vendor.env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), vendor.env["PYTHONPATH"]])
    error = vendor.peer("sink", "spout:Stage", "Windows")["error"]
    assert error.startswith(
        "ConfigError: expected a package SpoutGL that works for spout:; got DLL load failed: "
    )


@pytest.mark.parametrize("address", ["ndi:", "ndi:  ", "spout:a\nb", "syphon:" + "a" * 129])
def test_a_name_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="a name of up to 128"):
        normalized_address(address)


def test_addresses_have_one_form() -> None:
    assert normalized_address("ndi: PC (Out 1) ") == "ndi:PC (Out 1)"
    assert normalized_address("virtualcam:") == "virtualcam:"


@pytest.mark.parametrize("open_link", [open_server_link, open_client_link])
def test_what_takes_cut_outs_is_no_link_for_commands(open_link: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match="expected a link such as shm:NAME"):
        open_link("ndi:Stage")


def test_the_run_loop_of_syphon_turns_on_the_main_thread_until_it_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns: list[float] = []

    class Directory:  # as far as syphon-python 0.2.0 has it
        run_loop_interval = 1.0

        def update_run_loop(self) -> None:
            turns.append(self.run_loop_interval)
            if len(turns) > 1:
                raise RuntimeError("no run loop")

    announcer = Announcer(SimpleNamespace(SyphonServerDirectory=Directory))
    for _ in range(4):
        announcer.work()
    assert turns == [RUN_LOOP_S] * 2
    assert caplog.text.count("cannot be found by programs that start later") == 1
    main_thread_work(["shm:a", "ndi:b"])()
