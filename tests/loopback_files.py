"""A real HTTP server on loopback that serves files well, slowly or badly, and counts bytes."""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_S = 30.0
PIECE_BYTES = 4096


@dataclass
class Request:
    """What one request asked for, what it was answered, and how many bytes of body it got."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


@dataclass
class Files:
    """What the server holds and how it behaves; change it while it runs.

    with_ranges: answers Range with 206. etag: sent and compared with If-Range. length: sends
    Content-Length; lie_bytes is added to it. drops: after so many bytes of a request the
    connection ends, one number a request. statuses: answered instead, one a request.
    hold_at: no byte beyond so many in all, until it is raised. bytes_per_s: of each request.
    redirect: every path is sent there. wrong_offset: a range is answered with another one.
    extra: sent after the content.
    """

    content: dict[str, bytes]
    etag: str | None = '"1"'
    with_ranges: bool = True
    length: bool = True
    lie_bytes: int = 0
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    hold_at: int | None = None
    bytes_per_s: float | None = None
    redirect: str | None = None
    wrong_offset: bool = False
    extra: bytes = b""
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    closing: bool = False
    active: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sent(self) -> int:
        """Bytes of bodies sent in all."""
        return sum(request.sent for request in self.requests)

    def wait_for_sent(self, count: int) -> None:
        """Returns when so many bytes were sent; TimeoutError."""
        wait_until(lambda: self.sent >= count, f"{count} bytes sent")

    def wait_until_idle(self) -> None:
        """Returns when every reader has been served or is noticed to be gone; TimeoutError."""
        wait_until(lambda: self.active == 0, "no reader")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Returns when the condition holds; TimeoutError."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"expected {what} within {PATIENCE_S} s")
        time.sleep(0.002)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    wbufsize = 0

    def do_GET(self) -> None:
        files = self.server.files
        with files.lock:
            files.active += 1
        try:
            self._answer(files)
        finally:
            with files.lock:
                files.active -= 1

    def _answer(self, files: Files) -> None:
        request = Request(self.path, self.headers["Range"], self.headers["If-Range"])
        files.requests.append(request)
        body = files.content.get(self.path.lstrip("/"))
        if files.redirect is not None:
            self._head(request, 302, {"Location": files.redirect})
        elif files.statuses:
            self._head(request, files.statuses.pop(0), {"Content-Length": "0"})
        elif body is None:
            self._head(request, 404, {"Content-Length": "0"})
        else:
            self._file(request, body, files)

    def _file(self, request: Request, body: bytes, files: Files) -> None:
        headers = {"ETag": files.etag} if files.etag else {}
        start, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", request.range or "")
        same = request.if_range in (None, files.etag)
        if asked and files.with_ranges and same:
            start, status = int(asked[1]), 206
            if start >= len(body):
                unsatisfied = {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"}
                self._head(request, 416, unsatisfied)
                return
            start += files.wrong_offset
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        if files.length:
            headers["Content-Length"] = str(len(body) - start + files.lie_bytes)
        self._head(request, status, headers)
        drop = files.drops.pop(0) if files.drops else None
        self._send(request, body[start:] + files.extra, files, drop)

    def _reader_is_gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _head(self, request: Request, status: int, headers: dict[str, str]) -> None:
        request.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, request: Request, body: bytes, files: Files, drop: int | None) -> None:
        end = len(body) if drop is None else min(drop, len(body))
        while request.sent < end and not files.closing and not self._reader_is_gone():
            room = end - request.sent
            if files.hold_at is not None:
                room = min(room, files.hold_at - files.sent)
            if room <= 0:
                time.sleep(0.002)
                continue
            piece = body[request.sent : request.sent + min(room, PIECE_BYTES)]
            try:
                self.wfile.write(piece)
            except OSError:  # the reader was killed
                return
            request.sent += len(piece)
            if files.bytes_per_s:
                time.sleep(len(piece) / files.bytes_per_s)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    files: Files

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that was killed is no error."""


@contextmanager
def serving(content: dict[str, bytes]) -> Iterator[Files]:
    """Files with such content, served at files.url until the end."""
    files = Files(content)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.files = files
        host, port = server.server_address[:2]
        files.url = f"http://{host}:{port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="loopback-files")
        thread.start()
        try:
            yield files
        finally:
            files.closing = True
            server.shutdown()
            thread.join()


def closed_port_url() -> str:
    """The address of a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
