"""PromptMatte's own server as a contender: frame by frame over shared memory."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from promptmatte_shm import Frame, FrameInfo, Matte

from promptmatte.bench.contenders.process import Answer
from promptmatte.commands.demo_server import DemoServer
from promptmatte.errors import PromptMatteError

NAME = "PromptMatte embedded, live"
FIRST_MATTE_S = 120.0
PATIENCE_S = 5.0


class LiveServer:
    """A server that is shown a frame as soon as it has answered the one before."""

    def __init__(self, server: DemoServer) -> None:
        self._server = server
        self._stream_id = os.getpid()
        self._seq = 0
        self.pid = server.pid

    def wait_until_ready(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Shows this picture until a matte comes; PromptMatteError."""
        deadline_s = time.monotonic() + FIRST_MATTE_S
        while time.monotonic() < deadline_s:
            self._show(pixels)
            if self._server.client.latest_matte(0.1) is not None:
                return
        raise PromptMatteError(f"expected a matte within {FIRST_MATTE_S:g} s; none came")

    def answer(self, pixels: npt.NDArray[np.uint8]) -> Answer:
        """The matte of this frame, both links included; PromptMatteError when none comes."""
        start_ns = time.perf_counter_ns()
        seq = self._show(pixels)
        matte: Matte | None = None
        while matte is None or matte.info.seq != seq:
            matte = self._server.client.latest_matte(PATIENCE_S)
            if matte is None:
                raise PromptMatteError(f"expected a matte within {PATIENCE_S:g} s; none came")
        ms = (time.perf_counter_ns() - start_ns) / 1e6
        alpha = np.asarray(matte.alpha[..., 0], np.float32) / np.float32(255)
        return Answer(alpha=alpha, milliseconds=ms)

    def _show(self, pixels: npt.NDArray[np.uint8]) -> int:
        self._seq += 1
        now_ns = time.monotonic_ns()
        info = FrameInfo(
            stream_id=self._stream_id, seq=self._seq, pts_ns=now_ns, captured_ns=now_ns
        )
        self._server.client.send_frame(Frame(info=info, pixels=pixels))
        return self._seq


@contextlib.contextmanager
def live_server(folder: Path) -> Iterator[LiveServer]:
    """`promptmatte serve` with the embedded model, prompted with "person"."""
    session = f"bench{secrets.token_hex(4)}"
    arguments = [f"--source=shm:{session}", "--prompt=person", "--device=cpu"]
    server = DemoServer(session, arguments, folder=folder)
    try:
        yield LiveServer(server)
    finally:
        server.close()
