"""Send and receive times of the shared-memory link beside a plain copy of the same bytes.

    python benchmarks/shm_link.py [--rounds N] > shm_link.json

Every turn sends and receives one matte through real sessions, and takes the same bytes
with np.copyto into and out of plain arrays, as many as the ring has slots, with nothing
around it. So the load of the machine and the state of its caches fall on both alike.
of_memcpy: median time of the plain copies over median time of the link's. With a fill the
bytes are alpha and fill; a reader without it is measured beside a copy of the alpha only.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import machine
from promptmatte_shm import ClientSession, FrameInfo, Matte, PixelFormat, ServerSession

HEIGHT, WIDTH = 1080, 1920
SLOTS = 4
WARM_UP = 25

Arrays = list[npt.NDArray[np.generic]]


def timed_ms(action: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds the action took, and its result."""
    start_ns = time.perf_counter_ns()
    result = action()
    return (time.perf_counter_ns() - start_ns) / 1e6, result


def summary(
    times_ms: npt.NDArray[np.float64], size: int, plain_ms: npt.NDArray[np.float64] | None = None
) -> dict[str, float]:
    """Percentiles, throughput and, beside plain copies, the share of their speed."""
    p50, p95, p99 = (float(p) for p in np.percentile(times_ms, (50, 95, 99)))
    result = {
        "p50_ms": round(p50, 4),
        "p95_ms": round(p95, 4),
        "p99_ms": round(p99, 4),
        "gb_per_s": round(size / p50 / 1e6, 2),
    }
    if plain_ms is not None:
        result["of_memcpy"] = round(float(np.median(plain_ms)) / p50, 3)
    return result


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent in a run, and whether its fill is read too."""

    alpha: PixelFormat
    fill: PixelFormat | None = None
    with_fill: bool = True

    @property
    def name(self) -> str:
        """Its key in the report."""
        fill = f"+{self.fill.name.lower()}" if self.fill else ""
        return f"{self.alpha.name.lower()}{fill}{'' if self.with_fill else '_not_read'}"

    def matte(self) -> Matte:
        """A matte of noise at 1080p."""
        rng = np.random.default_rng(0)
        alpha, fill = (
            rng.integers(0, 256, (HEIGHT, WIDTH, kind.channels), np.uint8) if kind else None
            for kind in (self.alpha, self.fill)
        )
        return Matte(
            info=FrameInfo(stream_id=1, seq=0, pts_ns=0, captured_ns=0),
            alpha=alpha, anchor_seq=0, age_ms=0.0, confidence=(1.0,), prompts_version=1,
            fill=fill,
        )  # fmt: skip


def copied(sources: Arrays) -> Arrays:
    """New arrays with the same bytes, as a reader makes them."""
    copies = [np.empty_like(source) for source in sources]
    for copy, source in zip(copies, sources, strict=True):
        np.copyto(copy, source)
    return copies


def copy_into(places: Arrays, sources: Arrays) -> None:
    """The same bytes in these arrays, as a writer leaves them in a slot."""
    for place, source in zip(places, sources, strict=True):
        np.copyto(place, source)


def measure(load: Load, rounds: int) -> dict[str, Any]:
    """Times of one load."""
    matte = load.matte()
    sent = [matte.alpha] if matte.fill is None else [matte.alpha, matte.fill]
    read = sent if load.with_fill else sent[:1]
    plain = [copied(sent) for _ in range(SLOTS)]
    session = f"bench{os.getpid()}"
    times_ms: dict[str, list[float]] = {name: [] for name in ("in", "out", "send", "receive")}
    with ServerSession(session, slot_count=SLOTS) as server, ClientSession(session) as client:
        while not client.status.connected:
            time.sleep(0.01)
        for turn in range(rounds + WARM_UP):
            slot = plain[turn % SLOTS]
            in_ms, _ = timed_ms(lambda slot=slot: copy_into(slot, sent))
            out_ms, _ = timed_ms(lambda slot=slot: copied(slot[: len(read)]))
            send_ms, _ = timed_ms(lambda: server.send_matte(matte))
            receive_ms, got = timed_ms(lambda: client.latest_matte(with_fill=load.with_fill))
            if got is None or (turn == rounds and not same(got, read)):
                raise SystemExit("a matte was lost or changed on its way")
            if turn >= WARM_UP:
                turn_ms = (in_ms, out_ms, send_ms, receive_ms)
                for times, ms in zip(times_ms.values(), turn_ms, strict=True):
                    times.append(ms)
        torn = client.status.torn
    sizes = [sum(array.nbytes for array in arrays) for arrays in (sent, read)]
    return {
        "size": f"{WIDTH}x{HEIGHT}",
        "bytes_sent": sizes[0],
        "bytes_read": sizes[1],
        "slots": SLOTS,
        "torn": torn,
        **summaries({name: np.array(times) for name, times in times_ms.items()}, *sizes),
    }


def same(got: Matte, read: Arrays) -> bool:
    """Whether these arrays came, and no fill that was not to be read."""
    arrays = [array for array in (got.alpha, got.fill) if array is not None]
    return len(arrays) == len(read) and all(map(np.array_equal, arrays, read))


def summaries(
    ms: dict[str, npt.NDArray[np.float64]], sent_bytes: int, read_bytes: int
) -> dict[str, dict[str, float]]:
    """The plain copies, both ways of the link and the two together."""
    plain_ms, link_ms = ms["in"] + ms["out"], ms["send"] + ms["receive"]
    both_bytes = sent_bytes + read_bytes
    return {
        "memcpy": summary(plain_ms, both_bytes),
        "send": summary(ms["send"], sent_bytes, plain_ms=ms["in"]),
        "receive": summary(ms["receive"], read_bytes, plain_ms=ms["out"]),
        "send_and_receive": summary(link_ms, both_bytes, plain_ms=plain_ms),
    }


LOADS = (
    Load(alpha=PixelFormat.GRAY8),
    Load(alpha=PixelFormat.RGBA8),
    Load(alpha=PixelFormat.GRAY8, fill=PixelFormat.RGB8),
    Load(alpha=PixelFormat.GRAY8, fill=PixelFormat.RGB8, with_fill=False),
    Load(alpha=PixelFormat.GRAY8, fill=PixelFormat.RGBA8),
)


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    report = {
        "benchmark": "shm_link",
        **machine(),
        "numpy": np.__version__,
        "rounds": rounds,
        **{load.name: measure(load, rounds) for load in LOADS},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
