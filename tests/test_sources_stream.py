"""Network streams, from a real HTTP server on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from promptmatte.clock import RealClock
from promptmatte.errors import SourceEnded, SourceError
from promptmatte.sources import open_source
from promptmatte.sources.stream import StreamSource
from sources_testing import index_of, play_out, write_video


class Handler(BaseHTTPRequestHandler):
    """Serves /recording (with a length) and /live (without) from `server.data`."""

    def do_GET(self) -> None:
        data: bytes = self.server.data  # type: ignore[attr-defined]
        self.send_response(200)
        if self.path.startswith("/recording"):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.data = b""  # type: ignore[attr-defined]
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_recording_plays_by_its_times(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    server.data = write_video(tmp_path / "clip.mkv", 12).read_bytes()  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{server.server_port}/recording.mkv"
    before_ns = RealClock().now_ns()
    source = open_source(url, clock=RealClock(), loop=False)
    frames, error = play_out(source)
    source.close()
    assert isinstance(error, SourceEnded)
    assert index_of(frames[-1]) == 11
    assert frames[0].info.seq == 0
    for frame in frames:
        assert frame.info.captured_ns >= before_ns + frame.info.pts_ns


def test_a_live_stream_that_is_cut_off_is_lost(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    server.data = write_video(tmp_path / "clip.ts", 12).read_bytes()  # type: ignore[attr-defined]
    url = f"http://me:secret@127.0.0.1:{server.server_port}/live?key=hidden"
    source = open_source(url, clock=RealClock())
    assert source.name == f"http://***@127.0.0.1:{server.server_port}/live?***"
    frames, error = play_out(source)
    assert isinstance(error, SourceError)
    assert "was cut off" in str(error)
    assert "secret" not in str(error)
    assert isinstance(source, StreamSource)
    assert len(frames) + source.skipped == 12
    source.close()
    source.close()


def test_an_address_nobody_answers_is_refused_without_its_credentials() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://me:secret@127.0.0.1:{unused.getsockname()[1]}/x?token=hidden"
        with pytest.raises(SourceError, match="cannot open http://") as caught:
            open_source(address, clock=RealClock())
    text = f"{caught.value} {caught.value.__cause__}"
    assert "secret" not in text
    assert "hidden" not in text
    assert "\n" not in text
