"""A worker (see worker.py) and the conversation with it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from promptmatte.errors import PromptMatteError

WORKER = Path(__file__).with_name("worker.py")
MEDIAPIPE = ("MediaPipe general", "MediaPipe landscape")
MEDIAPIPE_PACKAGES = ("mediapipe==0.10.14", "numpy<2", "protobuf<5")
"""The last release of MediaPipe that needs no model file from elsewhere, and what it needs."""

MEDIAPIPE_PYTHON = "3.11"
END_TIMEOUT_S = 10.0
TOLD_BYTES = 2000


class PeerError(PromptMatteError, RuntimeError):
    """Another's model that cannot be started, or ended early."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """alpha float32 [H, W], 0..1; milliseconds from the picture in memory to it."""

    alpha: npt.NDArray[np.float32]
    milliseconds: float


class Contender:
    """Models in a worker process. names: of the models; weights: what they are, by name;
    versions: of their packages; pid: the worker, which uv may have started."""

    def __init__(self, command: Sequence[str]) -> None:
        """Starts the worker and waits for it; PeerError."""
        self._told = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._told
        )
        try:
            (size,) = struct.unpack("<I", self._read(4))
            hello: dict[str, Any] = json.loads(self._read(size))
        except BaseException:
            self.close()
            raise
        self.names: tuple[str, ...] = tuple(hello["models"])
        self.weights: dict[str, str] = hello["weights"]
        self.versions: dict[str, str] = hello["versions"]
        self.pid: int = hello["pid"]

    def answers(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Answer]:
        """The answer of each model to a picture RGB [H, W, 3], by its name; PeerError."""
        height, width = pixels.shape[:2]
        try:
            self._input.write(struct.pack("<II", height, width) + pixels.tobytes())
            self._input.flush()
        except OSError as error:
            raise self._ended() from error
        found = {}
        for name in self.names:
            (ms,) = struct.unpack("<d", self._read(8))
            alpha = np.frombuffer(self._read(4 * height * width), "<f4").reshape(height, width)
            found[name] = Answer(alpha=alpha, milliseconds=ms)
        return found

    def close(self) -> None:
        """Ends the worker."""
        if self._told.closed:
            return
        with suppress(OSError):  # what was not read by a worker that has ended
            self._input.close()
        self._output.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._told.close()

    def __enter__(self) -> Contender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _input(self) -> IO[bytes]:
        return _pipe(self._process.stdin)

    @property
    def _output(self) -> IO[bytes]:
        return _pipe(self._process.stdout)

    def _read(self, count: int) -> bytes:
        data = self._output.read(count)
        if len(data) < count:
            raise self._ended()
        return data

    def _ended(self) -> PeerError:
        """What to say when the worker has ended before its time."""
        with suppress(subprocess.TimeoutExpired):  # so that its last words are there
            self._process.wait(END_TIMEOUT_S)
        self._told.seek(0)
        told = self._told.read()[-TOLD_BYTES:].decode("utf-8", "replace").strip()
        return PeerError(f"expected an answer; the process ended: {told or 'it said nothing'}")


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise PeerError("expected a worker with pipes; it has none")
    return stream


def command_for(names: Sequence[str]) -> list[str]:
    """How a worker with these models is started; PeerError for MediaPipe's without uv.

    MediaPipe runs in an environment that uv makes; the first time uv fetches 250 MB.
    """
    if not set(names) <= set(MEDIAPIPE):
        return [sys.executable, str(WORKER), *names]
    found = shutil.which("uv")
    if found is None and importlib.util.find_spec("uv") is None:
        raise PeerError("expected uv, which runs MediaPipe; found none: python -m pip install uv")
    uv = [found] if found else [sys.executable, "-m", "uv"]
    packages = [word for package in MEDIAPIPE_PACKAGES for word in ("--with", package)]
    return [*uv, "run", "--no-project", "--isolated", "--python", MEDIAPIPE_PYTHON, *packages,
            "python", str(WORKER), *names]  # fmt: skip
