"""Those who key people: a model of PromptMatte here, MediaPipe in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from promptmatte.config import PipelineConfig
from promptmatte.errors import PromptMatteError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.stream import MatteStream
from promptmatte.models.protocol import Model
from promptmatte.prompts import Prompt, PromptSet

from .cases import PROMPT, Mask, Pixels

WORKER = Path(__file__).with_name("mediapipe_worker.py")
PACKAGES = ("mediapipe==0.10.14", "numpy<2", "protobuf<5")
"""The last release of MediaPipe that needs no model file from elsewhere, and what it needs."""

PYTHON = "3.11"
HALF = 128
"""Of alpha 0 to 255."""

END_TIMEOUT_S = 10.0
TOLD_BYTES = 2000


class PeerError(PromptMatteError, RuntimeError):
    """MediaPipe cannot be started, or ended early."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """Where people are, bool [H, W], by alpha of half and more; time from the picture in memory
    to the mask at its size; confidence 0..1, of those who tell none 1."""

    mask: Mask
    milliseconds: float
    confidence: float = 1.0


class Ours:
    """PromptMatte with one of its models, prompted with "person": the matte of a first frame at
    the default controls, as it is live."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prompts = PromptSet(version=1, prompts=(Prompt(text=PROMPT),))
        self._embedding = model.embed(self._prompts)
        self._stream = MatteStream(PipelineConfig())
        self.name = f"PromptMatte {model.name}"

    def answers(self, pixels: Pixels) -> dict[str, Answer]:
        """Its answer, by its name."""
        info = FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0)
        frame = Frame(info=info, pixels=pixels)
        start_ns = time.perf_counter_ns()
        decoded = self._model.decode(self._model.encode(frame), self._embedding)
        self._stream.reset()
        self._stream.anchor(info, decoded, self._prompts)
        matte = self._stream.step(frame)
        ms = (time.perf_counter_ns() - start_ns) / 1e6
        if matte is None:
            raise PromptMatteError("expected a matte of a picture that was encoded; got none")
        mask = matte.alpha[..., 0] >= HALF
        return {self.name: Answer(mask=mask, milliseconds=ms, confidence=matte.confidence[0])}


class MediaPipe:
    """Both models of MediaPipe's selfie segmentation, in a worker process (see
    mediapipe_worker.py). names: of the models; versions: of its packages."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Starts the worker, by default in an environment that uv makes, and waits for it;
        PeerError."""
        self._told = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        self._process = subprocess.Popen(
            command or worker_command(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._told,
        )  # fmt: skip
        try:
            (size,) = struct.unpack("<I", self._read(4))
            hello: dict[str, Any] = json.loads(self._read(size))
        except BaseException:
            self.close()
            raise
        self.names: tuple[str, ...] = tuple(hello["models"])
        self.versions: dict[str, str] = hello["versions"]

    def answers(self, pixels: Pixels) -> dict[str, Answer]:
        """The answer of each model, by its name; PeerError."""
        height, width = pixels.shape[:2]
        try:
            self._process.stdin.write(struct.pack("<II", height, width) + pixels.tobytes())
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        found = {}
        for name in self.names:
            (ms,) = struct.unpack("<d", self._read(8))
            alpha = np.frombuffer(self._read(4 * height * width), "<f4").reshape(height, width)
            found[name] = Answer(mask=alpha >= 0.5, milliseconds=ms)
        return found

    def close(self) -> None:
        """Ends the worker."""
        if self._told.closed:
            return
        with suppress(OSError):  # what was not read by a worker that has ended
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._told.close()

    def __enter__(self) -> MediaPipe:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, count: int) -> bytes:
        data = self._process.stdout.read(count)
        if len(data) < count:
            raise self._ended()
        return data

    def _ended(self) -> PeerError:
        """What to say when the worker has ended before its time."""
        self._told.seek(0)
        told = self._told.read()[-TOLD_BYTES:].decode("utf-8", "replace").strip()
        return PeerError(
            f"expected MediaPipe to answer; its process ended: {told or 'it said nothing'}\n"
            f"It needs uv, Python {PYTHON} and {', '.join(PACKAGES)} from the package registry"
        )


def worker_command() -> list[str]:
    """How uv runs the worker in an environment of its own; PeerError without uv."""
    found = shutil.which("uv")
    if found is None and importlib.util.find_spec("uv") is None:
        raise PeerError("expected uv, which runs MediaPipe; found none: python -m pip install uv")
    uv = [found] if found else [sys.executable, "-m", "uv"]
    packages = [word for package in PACKAGES for word in ("--with", package)]
    return [*uv, "run", "--no-project", "--isolated", "--python", PYTHON, *packages, "python",
            str(WORKER)]  # fmt: skip
