"""PromptMatte and others on the same frames of the same size, one after another."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from promptmatte.bench.contenders import worker
from promptmatte.bench.contenders.live_server import NAME as LIVE
from promptmatte.bench.contenders.live_server import live_server
from promptmatte.bench.contenders.process import Answer, Contender, PeerError, command_for
from promptmatte.bench.machine import machine
from promptmatte.bench.percentiles import percentiles
from promptmatte.bench.pictures import Pixels, pictures
from promptmatte.bench.report import Cell, Report, Table
from promptmatte.bench.size import size_text
from promptmatte.bench.usage import usage_of
from promptmatte.errors import ConfigError

NAMES = (LIVE, *worker.MODELS)
COLUMNS = (
    "who", "weights", "frames", "mattes/s", "p50 ms", "p95 ms", "p99 ms", "CPU", "peak MB", "note",
)  # fmt: skip


class _Running:
    """A contender that answers. facts: weights and versions as text."""

    def __init__(self, pid: int, answer: Callable[[Pixels], Answer], weights: str, note: str):
        self.pid = pid
        self.answer = answer
        self.weights = weights
        self.note = note


def chosen(words: Sequence[str]) -> list[str]:
    """The contenders whose names contain one of these words, or all; ConfigError for none."""
    lowered = [word.casefold() for word in words]
    found = [n for n in NAMES if not words or any(w in n.casefold() for w in lowered)]
    if not found:
        raise ConfigError(f"expected --only with part of {'; '.join(NAMES)}; got {words[0]!r}")
    return found


def report(
    command: str,
    names: Sequence[str],
    *,
    size_hw: tuple[int, int] = (540, 960),
    frames: int = 60,
    limit_s: float = 60.0,
    clip: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """A row for each contender, which says why where it cannot be had."""
    shown = pictures(size_hw, frames + 1, clip=clip)
    rows = []
    for name in names:
        tell(name)
        rows.append(row(name, shown, limit_s))
    what = f"the frames of {clip.name}" if clip else "the test pictures"
    return Report(
        command=command,
        title="Peers",
        about=f"The same {len(shown) - 1} frames ({what}, {size_text(size_hw)}), one after another "
        "as fast as each can, in a process for each; the first frame is not counted, and nobody "
        f"begins another after {limit_s:g} s. Random weights, where real ones cannot be had "
        "without a download, take the same time and key nothing. Milliseconds are from the "
        "picture in memory to the mask at its size, of PromptMatte live from one process to the "
        "other and back. live: the server, which encodes a few times a second and makes a matte of "
        "every frame; the others start anew on every frame. CPU: 100% is one core. MediaPipe "
        "keys people only, SamPredictor and SAM 2 take points and no words.",
        machine=machine("numpy", "torch", "transformers", "onnxruntime"),
        tables=[Table(title="On the same frames", columns=COLUMNS, rows=rows)],
        raw={"size": size_text(size_hw), "limit_s": limit_s},
    )


def row(name: str, shown: Sequence[Pixels], limit_s: float) -> list[Cell]:
    """The row of one contender."""
    times_ms: list[float] = []
    try:
        with _running(name, shown[0]) as contender:
            contender.answer(shown[0])
            before, began_s = usage_of(contender.pid), time.monotonic()
            for picture in shown[1:]:
                times_ms.append(contender.answer(picture).milliseconds)
                if time.monotonic() - began_s > limit_s:
                    break
            after, seconds = usage_of(contender.pid), time.monotonic() - began_s
    except PeerError as error:
        reason = str(error).splitlines()[-1]
        return [name, *(None for _ in COLUMNS[1:-1]), f"not measured: {reason}"]
    return [
        name,
        contender.weights,
        len(times_ms),
        float(f"{1000 * len(times_ms) / sum(times_ms):.3g}"),
        *percentiles(times_ms, digits=2),
        f"{(after.cpu_s - before.cpu_s) / seconds:.0%}",
        round(after.peak_bytes / 1e6),
        contender.note,
    ]


@contextmanager
def _running(name: str, first: Pixels) -> Iterator[_Running]:
    """The contender, ready; PeerError."""
    if name == LIVE:
        with tempfile.TemporaryDirectory() as folder, live_server(Path(folder)) as server:
            server.wait_until_ready(first)
            yield _Running(server.pid, server.answer, "real, in its package", "with both links")
        return
    with Contender(command_for([name])) as peer:
        versions = ", ".join(f"{package} {text}" for package, text in peer.versions.items())
        yield _Running(
            peer.pid, lambda picture: peer.answers(picture)[name], peer.weights[name], versions
        )
