"""The cost of each further stream in one server, beside a server a stream.

    python -m benchmarks.streams [--streams 1 2 3 4] [--fps 15] [--seconds N] [--json FILE]

A clip of the test pictures, 960x540, is played by every stream, with one prompt and 5 keyframes a
second wanted. `one server`: N [[stream]] tables of one show. `N servers`: the peer, a process a
stream, in the same run. Rates are counted from the status of each stream at both ends of the
measured time; fairness is Jain's index of the streams' rates (1: all alike, 1/N: one has all);
memory and processor time are those of all server processes, from /proc, so Linux only.
`a pass of N frames` is what batching would bring: the embedded network in torch on the device.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from promptmatte.bench.report import STDOUT, Report, Table
from promptmatte.bench.usage import usage_of
from promptmatte.frame import Frame, FrameInfo
from promptmatte.links import open_client_link
from promptmatte.models.embedded import EmbeddedModel, load_network, weights_path
from promptmatte.sources.test_pictures import TestPictures

from benchmarks.processes import at_work, serving, status_of

SIZE_HW = (540, 960)
CLIP_FRAMES = 60
ENCODE_HZ = 5
WARM_UP_S = 5.0
ABOUT = (
    "Streams of 960x540 with one prompt each, in one server that shares one model, beside as many "
    "servers of one stream. Rates are a stream's, the mean of all; memory and processor time are "
    "those of all server processes together."
)
COLUMNS = (
    "way", "streams", "fps each", "mattes/s each", "lowest", "keyframes/s each", "fairness mattes",
    "fairness keyframes", "latency p95 ms", "RSS MB", "RSS MB a further stream", "cores used",
)  # fmt: skip


def write_clip(path: Path, fps: int) -> None:
    """The test pictures as a video file."""
    pictures = TestPictures(size_hw=SIZE_HW, fps=float(fps))
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps)
        video.height, video.width = SIZE_HW
        video.pix_fmt, video.bit_rate = "yuv420p", 8_000_000
        for index in range(CLIP_FRAMES):
            frame = av.VideoFrame.from_ndarray(pictures.frame_at(index), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())


def show_of(clip: Path, links: Sequence[str]) -> str:
    """A show file with a stream for each link."""
    head = f"[controls]\nencode_hz = {ENCODE_HZ}\n"
    return head + "".join(
        f"[[stream]]\nname = {json.dumps(f's{index}')}\nsource = {json.dumps(str(clip))}\n"
        f'out = [{json.dumps(link)}]\n[[stream.prompt]]\ntext = "person"\n'
        for index, link in enumerate(links)
    )


@contextmanager
def served(clip: Path, links: Sequence[str], folder: Path) -> Iterator[int]:
    """The process of a server with a stream for each link, once all make mattes."""
    show, log = folder / f"{links[0][4:]}.toml", folder / f"{links[0][4:]}.log"
    show.write_text(show_of(clip, links))
    with serving(log, "--config", show, threads=None) as process:
        for link in links:
            at_work(process, link, log)
        yield process.pid


def counts_of(address: str) -> dict[str, Any]:
    """The status of a stream."""
    link = open_client_link(address)
    try:
        return status_of(link)
    finally:
        link.close()


def cpu_s_of(pids: Sequence[int]) -> float:
    """Processor time that processes have used."""
    return sum(usage_of(pid).cpu_s for pid in pids)


def jain(rates: Sequence[float]) -> float:
    """Jain's fairness index of rates."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0


def measured(links: Sequence[str], pids: Sequence[int], seconds: float) -> dict[str, Any]:
    """Rates of each stream, and what the processes used, over so many seconds."""
    time.sleep(WARM_UP_S)
    began_s, before = time.monotonic(), [counts_of(link) for link in links]
    used = cpu_s_of(pids)
    time.sleep(seconds)
    after, took_s = [counts_of(link) for link in links], time.monotonic() - began_s
    rates = {
        name: [
            round((new[key] - old[key]) / took_s, 2) for old, new in zip(before, after, strict=True)
        ]
        for name, key in (("mattes", "mattes_out"), ("keyframes", "encodes"))
    }
    return rates | {
        "latency_p95_ms": [one["latency_ms"]["p95"] for one in after],
        "dropped": [one["dropped"] for one in after],
        "rss_mb": round(sum(usage_of(pid).rss_bytes for pid in pids) / 2**20, 1),
        "cores": round((cpu_s_of(pids) - used) / took_s, 2),
        "seconds": round(took_s, 1),
    }


def one_way(way: str, count: int, fps: int, seconds: float, folder: Path) -> dict[str, Any]:
    """A measurement of `count` streams, in one server or in one each."""
    clip = folder / f"clip{fps}.mp4"
    if not clip.exists():
        write_clip(clip, fps)
    links = [f"shm:bs-{secrets.token_hex(4)}" for _ in range(count)]
    groups = [links] if way == "one server" else [[link] for link in links]
    with ExitStack() as stack:
        pids = [stack.enter_context(served(clip, group, folder)) for group in groups]
        found = measured(links, pids, seconds)
    return {"way": way, "streams": count, "fps": fps, **found}


def row_of(run: dict[str, Any], runs: Sequence[dict[str, Any]]) -> list[Any]:
    """A run as a row of the table."""
    first = next(
        one for one in runs
        if one["way"] == run["way"] and one["fps"] == run["fps"]
    )  # fmt: skip
    further = run["streams"] - first["streams"]
    added = round((run["rss_mb"] - first["rss_mb"]) / further, 1) if further else None
    return [
        run["way"], run["streams"], run["fps"], round(float(np.mean(run["mattes"])), 2),
        min(run["mattes"]), round(float(np.mean(run["keyframes"])), 2),
        round(jain(run["mattes"]), 4), round(jain(run["keyframes"]), 4),
        max(run["latency_p95_ms"]), run["rss_mb"], added, run["cores"],
    ]  # fmt: skip


def passes(device: str, counts: Sequence[int], rounds: int) -> list[list[Any]]:
    """Milliseconds of the network in torch for n frames one by one, and in one pass."""
    model = EmbeddedModel(load_network(weights_path())[0], device=device)
    pictures = TestPictures(size_hw=SIZE_HW)
    rows = []
    for count in counts:
        frames = [
            Frame(
                info=FrameInfo(stream_id=index, seq=0, pts_ns=0, captured_ns=0),
                pixels=pictures.frame_at(index),
            )
            for index in range(count)
        ]
        times: dict[str, list[float]] = {"single": [], "together": []}
        for turn in range(rounds + 1):
            for name, encode in (
                ("single", lambda f=frames: [model.encode(frame) for frame in f]),
                ("together", lambda f=frames: model.encode_many(f)),
            ):
                start = time.perf_counter()
                encode()
                if device.startswith("cuda"):
                    torch.cuda.synchronize()
                if turn:  # the first one warms up
                    times[name].append(1e3 * (time.perf_counter() - start))
        single, together = (float(np.median(times[name])) for name in ("single", "together"))
        rows.append([device, count, round(single, 1), round(together, 1),
                     round(single / together, 2)])  # fmt: skip
    return rows


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 3, 4], metavar="N")
    parser.add_argument("--fps", type=int, nargs="+", default=[15, 30], metavar="F")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured, of each run")
    parser.add_argument("--device", default="cpu", help="of the passes of several frames")
    parser.add_argument("--rounds", type=int, default=10, help="of each pass of several frames")
    parser.add_argument("--json", type=Path, default=STDOUT, metavar="FILE", help="write it here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            one_way(way, count, fps, arguments.seconds, Path(folder))
            for fps in arguments.fps
            for count in arguments.streams
            for way in ("one server", "N servers")
        ]
    batches = passes(arguments.device, arguments.streams, arguments.rounds)
    Report(
        command=f"python -m benchmarks.streams {' '.join(sys.argv[1:])}".rstrip(),
        title="Many streams in one server",
        about=ABOUT,
        tables=[
            Table(title="Streams", columns=COLUMNS, rows=[row_of(run, runs) for run in runs]),
            Table(
                title="A pass of N frames",
                columns=("device", "frames", "one by one ms", "one pass ms", "speed-up"),
                rows=batches,
            ),
        ],
        raw={"runs": runs},
    ).write(arguments.json)


if __name__ == "__main__":
    main()
