"""Send and receive times of the shared-memory link beside a plain copy of the same bytes.

    python benchmarks/shm_link.py [--rounds N] > shm_link.json

Every turn sends and receives one matte through real sessions, and takes the same bytes
with np.copyto into and out of plain arrays, as many as the ring has slots, with nothing
around it. So the load of the machine and the state of its caches fall on both alike.
of_memcpy: median time of the plain copies over median time of the link's.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import machine
from promptmatte_shm import ClientSession, FrameInfo, Matte, PixelFormat, ServerSession

HEIGHT, WIDTH = 1080, 1920
SLOTS = 4
WARM_UP = 25


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


def measure(pixel_format: PixelFormat, rounds: int) -> dict[str, Any]:
    """Times of one format at 1080p."""
    shape = (HEIGHT, WIDTH, pixel_format.channels)
    alpha = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    info = FrameInfo(stream_id=1, seq=0, pts_ns=0, captured_ns=0)
    matte = Matte(
        info=info, alpha=alpha, anchor_seq=0, age_ms=0.0, confidence=(1.0,), prompts_version=1
    )
    plain = [np.zeros_like(alpha) for _ in range(SLOTS)]
    session = f"bench{os.getpid()}"
    times_ms: dict[str, list[float]] = {name: [] for name in ("in", "out", "send", "receive")}
    with ServerSession(session, slot_count=SLOTS) as server, ClientSession(session) as client:
        while not client.status.connected:
            time.sleep(0.01)
        for turn in range(rounds + WARM_UP):
            array = plain[turn % SLOTS]
            in_ms, _ = timed_ms(lambda array=array: np.copyto(array, alpha))
            out_ms, _ = timed_ms(lambda array=array: np.copyto(np.empty(shape, np.uint8), array))
            send_ms, _ = timed_ms(lambda: server.send_matte(matte))
            receive_ms, got = timed_ms(client.latest_matte)
            if got is None or (turn == rounds and not np.array_equal(got.alpha, alpha)):
                raise SystemExit("a matte was lost or changed on its way")
            if turn >= WARM_UP:
                for times, ms in zip(
                    times_ms.values(), (in_ms, out_ms, send_ms, receive_ms), strict=True
                ):
                    times.append(ms)
        torn = client.status.torn
    ms = {name: np.array(times) for name, times in times_ms.items()}
    size = alpha.nbytes
    return {
        "size": f"{WIDTH}x{HEIGHT}",
        "bytes": size,
        "slots": SLOTS,
        "torn": torn,
        "memcpy": summary(ms["in"] + ms["out"], 2 * size),
        "send": summary(ms["send"], size, plain_ms=ms["in"]),
        "receive": summary(ms["receive"], size, plain_ms=ms["out"]),
        "send_and_receive": summary(
            ms["send"] + ms["receive"], 2 * size, plain_ms=ms["in"] + ms["out"]
        ),
    }


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
        **{f.name.lower(): measure(f, rounds) for f in (PixelFormat.GRAY8, PixelFormat.RGBA8)},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
