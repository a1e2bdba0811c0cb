"""open_source: which spec opens what, and what is said of the others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from promptmatte.clock import RealClock
from promptmatte.errors import ConfigError, SourceError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.links import open_client_link, open_server_link
from promptmatte.sources import open_source
from promptmatte.sources.redaction import redacted
from promptmatte.sources.test_pictures import PicturesSource
from sources_testing import SimulatedClock, read_next


@pytest.mark.parametrize(
    "spec", ["", "webcam", "test:dragon", "ftp://u:secret@host/a.mp4", "x" * 5000, "a\0b"]
)
def test_what_is_no_source_is_refused_with_what_is(spec: str) -> None:
    with pytest.raises(ConfigError, match="expected") as caught:
        open_source(spec, clock=SimulatedClock())
    text = str(caught.value)
    assert "\n" not in text
    assert "secret" not in text
    assert ("camera:0" in text) == ("dragon" not in spec)


@pytest.mark.parametrize("spec", ["clip.mp4", "folder/clip", "picture.png"])
def test_a_missing_file_is_refused(spec: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="got nothing there"):
        open_source(str(tmp_path / spec), clock=SimulatedClock())
    with pytest.raises(SourceError, match="got nothing there"):
        open_source(spec, clock=SimulatedClock())


@pytest.mark.parametrize("loop", [True, False])
def test_the_test_pictures_count_their_frames(loop: bool) -> None:
    clock = SimulatedClock()
    source = open_source("test:cat", clock=clock, loop=loop)
    assert isinstance(source, PicturesSource)
    assert source.name == "test:cat"
    first, second = source.read(1.0), source.read(1.0)
    assert (first.info.seq, second.info.seq) == (0, 1)
    assert source.read(0.001) is None
    assert (second.pixels == source.pictures.frame_at(1)).all()
    assert list(source.pictures.truth_at(1)) == ["cat"]


def test_a_link_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"links? of this server \(none\); got 'shm:nobody'"):
        open_source("shm:nobody", clock=SimulatedClock())


def test_frames_of_a_client_keep_its_info_and_format() -> None:
    address = f"shm:pm-src-{os.getpid()}"
    link = open_server_link(address)
    client = open_client_link(address)
    try:
        source = open_source(address, clock=RealClock(), links=[link])
        assert source.name == address
        assert source.read(0.01) is None
        info = FrameInfo(stream_id=11, seq=22, pts_ns=33, captured_ns=44)
        pixels = np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4)
        end = time.monotonic() + 20
        frame = None
        while frame is None and time.monotonic() < end:
            client.send_frame(Frame(info=info, pixels=pixels.copy()))
            frame = source.read(0.25)
        assert frame is not None
        assert frame.info == info
        assert (frame.pixels == pixels).all()
        source.close()
        client.send_frame(Frame(info=info, pixels=pixels.copy()))
        assert read_next(source).info == info  # the link is the server's and stays open
    finally:
        client.close()
        link.close()


def test_credentials_are_redacted() -> None:
    assert redacted("rtsp://me:pa@ss/wo?rd@host:554/live") == "rtsp://***@host:554/live"
    assert redacted("srt://host:9000?passphrase=secret&mode=caller") == "srt://host:9000?***"
    assert redacted("http://host/a.mp4") == "http://host/a.mp4"
    assert redacted("/home/me@work/what?.mp4") == "/home/me@work/what?.mp4"
