"""NDI with its real library: pictures between real processes on this machine alone."""

from __future__ import annotations

import json
import queue
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from links_testing import Child
from promptmatte.clock import RealClock
from promptmatte.errors import SourceError
from promptmatte.frame import Frame, FrameInfo, Matte
from promptmatte.sources import open_source
from promptmatte.sources.protocol import Source
from promptmatte.vendors import Sink, open_sink
from server_testing import Server, promptmatte, status_of, wait_for

cyndilib = pytest.importorskip("cyndilib", reason="the extra ndi is not installed")

PEER = str(Path(__file__).parent / "ndi_peer.py")


@pytest.fixture(scope="module", autouse=True)
def _this_machine_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """NDI asks this machine for sources by TCP, as there may be no mDNS."""
    folder = tmp_path_factory.mktemp("ndi")
    config = {"ndi": {"networks": {"ips": "127.0.0.1"}}}
    (folder / "ndi-config.v1.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDI_CONFIG_DIR", str(folder))
        yield


@pytest.fixture
def name() -> str:
    """A name that no source has."""
    return f"matte {secrets.token_hex(4)}"


@pytest.fixture
def peers() -> Iterator[list[Child]]:
    """Children, ended with the test."""
    started: list[Child] = []
    yield started
    for peer in started:
        peer.kill()


def four_fields(values: list[int], size_hw: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W] with a value for each quarter, row by row."""
    quarters = np.array(values, np.uint8).reshape(2, 2)
    return cv2.resize(quarters, size_hw[::-1], interpolation=cv2.INTER_NEAREST)


def offer(sink: Sink, size_hw: tuple[int, int], alpha: list[int]) -> None:
    """A picture of red, green above blue, grey, with these alphas."""
    red, green, blue = [250, 0, 0, 128], [0, 240, 0, 128], [0, 0, 230, 128]
    info = FrameInfo(stream_id=1, seq=1, pts_ns=0, captured_ns=0)
    pixels = np.dstack([four_fields(values, size_hw) for values in (red, green, blue)])
    sink.offer(
        Frame(info=info, pixels=pixels),
        Matte(
            info=info, alpha=four_fields(alpha, size_hw)[..., np.newaxis], anchor_seq=1,
            age_ms=0.0, confidence=(1.0,), prompts_version=1,
        ),
    )  # fmt: skip


def seen_while(
    sink: Sink, peer: Child, size_hw: tuple[int, int], alpha: list[int]
) -> dict[str, Any]:
    """What the peer sees first of pictures of this size that are offered all the time."""

    def look() -> dict[str, Any] | None:
        offer(sink, size_hw, alpha)
        try:
            seen = dict(json.loads(peer.line(0.05)))
        except queue.Empty:
            return None
        return seen if seen["size"] == list(size_hw) else None

    return wait_for(look)


def test_a_receiver_sees_the_cut_out_with_straight_alpha_and_its_new_size(
    name: str, peers: list[Child]
) -> None:
    sink = open_sink(f"ndi:{name}", clock=RealClock())
    try:
        offer(sink, (90, 160), [255, 255, 255, 255])
        wait_for(lambda: not sink.status()["error"])
        assert sink.status()["connected"] is False
        peers.append(Child(PEER, "receive", name))
        assert peers[0].line().endswith(f" ({name})")
        seen = seen_while(sink, peers[0], (90, 160), [255, 128, 0, 64])
        assert seen["fourcc"] == "BGRA"
        wanted = [[250, 0, 0, 255], [0, 240, 0, 128], [0, 0, 230, 0], [128, 128, 128, 64]]
        np.testing.assert_allclose(seen["rgba"], wanted, atol=16)
        # 2 levels of alpha: NDI's coding loses no more
        np.testing.assert_allclose(np.array(seen["rgba"])[:, 3], [255, 128, 0, 64], atol=2)
        seen = seen_while(sink, peers[0], (120, 100), [0, 255, 128, 200])
        np.testing.assert_allclose(np.array(seen["rgba"])[:, 3], [0, 255, 128, 200], atol=2)
        status = sink.status()
        assert (status["connected"], status["errors"], status["error"]) == (True, 0, None)
        assert status["sent"] > 0
    finally:
        sink.close()


def test_a_name_that_this_machine_already_sends_is_told_until_it_is_free(
    name: str, peers: list[Child]
) -> None:
    peers.append(Child(PEER, "send", name, "90x160"))
    peers[0].line()
    sink = open_sink(f"ndi:{name}", clock=RealClock())
    try:
        offer(sink, (90, 160), [255] * 4)
        wait_for(lambda: sink.status()["errors"])
        assert sink.status()["error"] == (
            f"NDI cannot send as {name}: another program of this machine may have the name"
        )
        peers[0].kill()
        wait_for(lambda: offer(sink, (90, 160), [255] * 4) or not sink.status()["error"])
    finally:
        sink.close()


def read_first(source: Source) -> np.ndarray:
    return wait_for(lambda: source.read(0.5)).pixels


def read_to_the_end(source: Source) -> None:
    while True:
        source.read(0.5)


def test_another_program_is_a_source_until_it_is_gone(name: str, peers: list[Child]) -> None:
    peers.append(Child(PEER, "send", name, "90x162"))
    whole = peers[0].line()
    for wanted in (name, whole):
        source = open_source(f"ndi:{wanted}", clock=RealClock())
        try:
            pixels = read_first(source)
            assert pixels.shape == (90, 162, 3)
            np.testing.assert_allclose(pixels[20, [20, 140]], [[255, 0, 0]] * 2, atol=16)
            np.testing.assert_allclose(pixels[70, [20, 140]], [[0, 0, 255]] * 2, atol=16)
            if wanted == whole:
                peers[0].kill()
                with pytest.raises(SourceError, match="is gone: check its program"):
                    read_to_the_end(source)
        finally:
            source.close()


def test_a_source_that_is_not_there_is_told_with_those_that_are(
    name: str, peers: list[Child]
) -> None:
    peers.append(Child(PEER, "send", name, "90x160"))
    whole = peers[0].line()
    source = open_source("ndi:nobody", clock=RealClock())
    try:
        with pytest.raises(
            SourceError, match="expected an NDI source called nobody; found"
        ) as told:
            read_to_the_end(source)
        assert whole in str(told.value)
    finally:
        source.close()


def test_a_server_keys_what_an_ndi_program_sends(
    tmp_path: Path, session: str, tiny_weights: Path, name: str, peers: list[Child]
) -> None:
    peers.append(Child(PEER, "send", name, "90x160"))
    peers[0].line()
    with Server(
        "--source", f"ndi:{name}", "--weights", tiny_weights, "--prompt", "person",
        "--out", session, "--seconds", "120", log=tmp_path / "log",
    ) as server:  # fmt: skip
        status = wait_for(lambda: (found := status_of(session, server))["mattes_out"] > 5 and found)
        assert (status["source"], status["size"]) == (f"ndi:{name}", [90, 160])
        peers[0].kill()
        wait_for(lambda: status_of(session, server)["state"].startswith("source lost: "))
        peers.append(Child(PEER, "send", name, "120x100"))
        wait_for(lambda: status_of(session, server)["size"] == [120, 100])
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(30) == 0, server.said()


def test_a_server_sends_its_cut_outs_to_an_ndi_program(
    tmp_path: Path, session: str, picture: Path, tiny_weights: Path, name: str,
    peers: list[Child],
) -> None:  # fmt: skip
    with Server(
        "--source", picture, "--weights", tiny_weights, "--prompt", "person",
        "--out", session, "--out", f"ndi:{name}", "--seconds", "120", log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: status_of(session, server)["mattes_out"] > 0)
        peers.append(Child(PEER, "receive", name))
        assert peers[0].line().endswith(f" ({name})")
        seen = json.loads(peers[0].line())
        assert (seen["size"], seen["fourcc"]) == ([90, 160], "BGRA")

        def taken() -> dict[str, Any] | None:
            entry = status_of(session, server)["links"][-1]
            return entry if entry["sent"] > 5 else None

        entry = wait_for(taken)
        assert (entry["address"], entry["connected"]) == (f"ndi:{name}", True)
        assert (entry["errors"], entry["error"]) == (0, None)
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(30) == 0, server.said()
