"""A real `promptmatte serve` with a real source, both links and a watch at each of them."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from promptmatte.frame import Matte
from promptmatte.sources.conversion import as_rgb8

from benchmarks.faults.picture import scene
from benchmarks.faults.result import Result
from benchmarks.faults.watch import PATIENCE_S, Watch
from benchmarks.faults.workers import worker
from benchmarks.processes import at_work, free_port, free_session, said_in, serving, until

FPS = 30.0


def look_with(every: int) -> Any:
    """What is wrong with a matte of a `scene`: its fill must be that frame, byte for byte, and its
    alpha of that size."""

    def look(matte: Matte) -> str | None:
        seq = matte.info.seq
        wanted = as_rgb8(scene(seq, matte.info, every))
        if matte.alpha.shape[:2] != wanted.size_hw:
            return f"matte {seq}: expected a size of {wanted.size_hw}; got {matte.alpha.shape}"
        if matte.fill is None or not np.array_equal(matte.fill, wanted.pixels):
            return f"matte {seq}: its fill is not that frame"
        return None

    return look


class Served:
    """The server makes mattes of scenes that a process sends over shared memory, 30 a second,
    and both links are read; closed at the end of a with block.

    every: as `scene` has it. entry: how the server's process begins. start: the server, too.
    """

    def __init__(
        self, *options: object, every: int = 0, entry: tuple[str, ...] = ("-m", "promptmatte"),
        fps: float = FPS, start: bool = True, log: Path | None = None,
    ) -> None:  # fmt: skip
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.log = log or self.folder / "log"
        self.session, self.port = free_session(), free_port()
        self.addresses = (f"shm:{self.session}", f"zmq:tcp://127.0.0.1:{self.port}")
        self.options = (
            "--source", self.addresses[0], "--out", self.addresses[1], "--prompt", "person",
            "--fill", "picture", *options,
        )  # fmt: skip
        self._entry, self._every, self._fps, self._start = entry, every, fps, start
        self.watches: list[Watch] = []

    def __enter__(self) -> Served:
        try:
            self.start_source()
            for address in self.addresses:
                watch = Watch(address, look_with(self._every))
                self.watches.append(watch)
                self._stack.callback(watch.close)
            if self._start:
                self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def start_source(self) -> None:
        """Another process that sends scenes."""
        sender = worker("send", self.session, self._every, self._fps)
        self.source = self._stack.enter_context(sender)

    def start(self) -> None:
        """Another server with the same options, at work."""
        server = serving(self.log, *self.options, entry=self._entry)
        self.process = self._stack.enter_context(server)
        self.status()

    def beside(self, *options: object) -> Any:
        """A further server, whose words are in the same log."""
        return serving(self.log, *options)

    def status(self) -> dict[str, Any]:
        """Its status, once it has made mattes."""
        return at_work(self.process, self.addresses[0], self.log)

    def recovered(self, result: Result, *, since_ns: int) -> bool:
        """Counts a fault as over if both links show a matte of a frame captured after a moment."""
        came = [watch.right_after(since_ns) for watch in self.watches]
        if None in came:
            return False
        result.recovered_after((max(ns for ns in came if ns is not None) - since_ns) / 1e6)
        return True

    def add_to(self, result: Result) -> None:
        """What the watches have seen since the last call."""
        for watch in self.watches:
            looked_at, wrong = watch.taken()
            result.looked_at += looked_at
            result.wrong += wrong

    def said(self) -> str:
        """The server's words so far."""
        return said_in(self.log)

    def until_status(self, look: Any) -> dict[str, Any]:
        """The first status that look is pleased with."""
        return until(lambda: (told := self.status()) and look(told) and told, PATIENCE_S)
