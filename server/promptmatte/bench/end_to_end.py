"""A real server between a sender and a reader, over shared memory, as a host has it.

Three processes: one sends ready pictures at the rate of a camera, from a ring made beforehand, so
that nothing but copying them costs time; `promptmatte serve` takes them from the link; this one
reads the mattes and does nothing with them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptmatte_shm import ClientSession, Frame, FrameInfo

from promptmatte.bench.machine import machine
from promptmatte.bench.percentiles import percentiles
from promptmatte.bench.pictures import pictures, there_and_back
from promptmatte.bench.report import Cell, Report, Table
from promptmatte.bench.size import size_text
from promptmatte.bench.usage import usage_of
from promptmatte.commands.demo_server import DemoServer
from promptmatte.errors import PromptMatteError

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

RING = 90
"""Ready pictures: at 60 fps three seconds there and back, 140 MB of 960x540."""

FIRST_MATTE_S = 120.0
GONE_S = 3.0

COLUMNS = (
    "size", "prompts", "encode_hz", "frames/s in", "mattes/s", "p50 ms", "p95 ms", "p99 ms",
    "keyframes/s", "keyframe age p50 ms", "dropped", "missed by the reader", "torn", "server CPU",
    "page faults a matte", "RSS MB", "peak MB",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is served: encode_hz None is the server's default. options: further ones of serve."""

    size_hw: tuple[int, int] = (540, 960)
    fps: float = 60.0
    prompts: Sequence[str] = ("person",)
    encode_hz: float | None = None
    seconds: float = 20.0
    warm_up_s: float = 5.0
    clip: Path | None = None
    options: Sequence[str] = ()


@dataclass(kw_only=True)
class Seen:
    """What the reader got. missed: mattes that were sent and not read."""

    latencies_ms: list[float] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0


def report(command: str, settings: Sequence[Setting]) -> Report:
    """A row for each setting."""
    measured = [measure(setting) for setting in settings]
    first = settings[0]
    return Report(
        command=command,
        title="End to end",
        about=f"`promptmatte serve` on frames that another process sends over shared memory at "
        f"{first.fps:g} a second, from a ring of {RING} ready pictures, forward and backward; "
        f"read over shared memory for {first.seconds:g} s after {first.warm_up_s:g} s of warming "
        "up, with nothing drawn. Latency: from the sender's capture stamp until the reader has "
        "the alpha, both links and all waiting included. Server CPU: of its process alone, 100% is "
        "one core. Page faults: of the server; a plane of alpha alone has 127 pages, so a few a "
        "matte mean that no memory is taken for a frame.",
        machine=machine("numpy", "opencv-python", "torch", "onnxruntime"),
        tables=[Table(title="Live", columns=COLUMNS, rows=[row for row, _ in measured])],
        raw={"runs": [raw for _, raw in measured]},
    )


def measure(setting: Setting) -> tuple[list[Cell], dict[str, Any]]:
    """The row of a setting, and the server's last status."""
    with tempfile.TemporaryDirectory() as folder, serving(setting, Path(folder)) as server:
        client = server.client
        _read(client, setting.warm_up_s)
        before, used, torn = status_of(client), usage_of(server.pid), client.status.torn
        began_s = time.monotonic()
        seen = _read(client, setting.seconds)
        after, used_after = status_of(client), usage_of(server.pid)
        seconds = time.monotonic() - began_s
        torn = client.status.torn - torn
    if not seen.latencies_ms:
        raise PromptMatteError(f"expected mattes for {setting.seconds:g} s; none came")

    def count(name: str) -> int:
        return int(after[name] - before[name])

    dropped = {
        cause: more
        for cause, number in after["dropped"].items()
        if (more := number - before["dropped"].get(cause, 0))
    }
    row: list[Cell] = [
        size_text(setting.size_hw),
        len(setting.prompts),
        setting.encode_hz or "default",
        round(count("frames_in") / seconds, 1),
        round(len(seen.latencies_ms) / seen.seconds, 1),
        *percentiles(seen.latencies_ms, digits=2),
        round(count("encodes") / seconds, 2),
        percentiles(seen.ages_ms, digits=0)[0],
        ", ".join(f"{number} {cause}" for cause, number in dropped.items()) or "none",
        max(0, count("mattes_out") - len(seen.latencies_ms)),
        torn,
        f"{(used_after.cpu_s - used.cpu_s) / seconds:.0%}",
        _each(used.page_faults, used_after.page_faults, count("mattes_out")),
        round(used_after.rss_bytes / 1e6),
        round(used_after.peak_bytes / 1e6),
    ]
    return row, {"seconds": round(seconds, 2), "status": after}


def _each(before: int | None, after: int | None, mattes: int) -> float | None:
    if before is None or after is None:
        return None
    return round((after - before) / max(1, mattes), 1)


@contextlib.contextmanager
def serving(setting: Setting, folder: Path) -> Iterator[DemoServer]:
    """A server that makes mattes of the sender's frames."""
    session = f"bench{secrets.token_hex(4)}"
    prompts = [f"--prompt={prompt}" for prompt in setting.prompts]
    hz = [f"--encode-hz={setting.encode_hz:g}"] if setting.encode_hz else []
    server = DemoServer(
        session,
        [f"--source=shm:{session}", *hz, *prompts, *setting.options],
        folder=folder,
    )
    try:
        with sending(session, setting):
            server.wait_until_running()
            if server.client.latest_matte(FIRST_MATTE_S) is None:
                raise PromptMatteError(f"expected a matte within {FIRST_MATTE_S:g} s; none came")
            yield server
    finally:
        server.close()


@contextlib.contextmanager
def sending(session: str, setting: Setting) -> Iterator[None]:
    """A process that sends the pictures."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=send, args=(session, setting, stop), daemon=True)
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(10.0)
        if process.is_alive():
            process.terminate()
            process.join()


def send(session: str, setting: Setting, stop: Event) -> None:
    """The sender's process: each picture when it is due, until told to stop."""
    frames = pictures(setting.size_hw, RING, clip=setting.clip, fps=setting.fps)
    stream_id = secrets.randbits(31)
    with ClientSession(session) as link:
        began_ns, seq = time.monotonic_ns(), 0
        while not stop.is_set():
            pts_ns = round(seq * 1e9 / setting.fps)
            time.sleep(max(0.0, (began_ns + pts_ns - time.monotonic_ns()) / 1e9))
            info = FrameInfo(
                stream_id=stream_id, seq=seq, pts_ns=pts_ns, captured_ns=time.monotonic_ns()
            )
            link.send_frame(Frame(info=info, pixels=there_and_back(frames, seq)))
            seq += 1


def status_of(client: ClientSession) -> dict[str, Any]:
    """What the server says of itself."""
    status: dict[str, Any] = client.request({"command": "status"}, timeout_s=10.0)["status"]
    return status


def _read(client: ClientSession, seconds: float) -> Seen:
    """Takes mattes for so long."""
    seen = Seen()
    began_s = time.monotonic()
    while time.monotonic() - began_s < seconds:
        matte = client.latest_matte(GONE_S)
        if matte is None:
            raise PromptMatteError(f"expected mattes; none came for {GONE_S:g} s")
        seen.latencies_ms.append((time.monotonic_ns() - matte.info.captured_ns) / 1e6)
        seen.ages_ms.append(matte.age_ms)
    seen.seconds = time.monotonic() - began_s
    return seen
