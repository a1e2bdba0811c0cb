"""Many cooks of an unchanging show: what they cost, and whether anything grows."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import Any

from show import FPS, SETTINGS, Show, answers, np

PROC = Path("/proc/self")


def held() -> dict[str, int]:
    """What this process holds; memory and files on Linux only."""
    gc.collect()
    kept = {"objects": len(gc.get_objects()), "threads": threading.active_count()}
    if PROC.is_dir():
        pages = int((PROC / "statm").read_text().split()[1])
        kept["rss_mb"] = round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
        kept["files"] = len(list((PROC / "fd").iterdir()))
    return kept


def main() -> None:
    height, width = SETTINGS["size_hw"]
    rng = np.random.default_rng(3)
    show = Show(rng.integers(0, 256, (4, height, width, 3), np.uint8))
    show.set(Session=SETTINGS["session"], Workingsize="input", Prompt1="a", Prompt2="b",
             Copyfirst=SETTINGS.get("copy_first", False))  # fmt: skip
    show.run_until(lambda: show.info("fps") > 5, "mattes")
    fps = FPS if SETTINGS.get("paced") else None
    frames = SETTINGS["frames"]
    show.bench.run(frames // 5, fps=fps)
    before = held()
    skipped = len(show.bench.frame_ms)
    mattes, wrong = set(), 0
    for turn in range(frames - frames // 5):
        if turn == frames // 5:
            before = held()
        show.bench.run(1, fps=fps)
        number = show.number_shown()
        mattes.add(number)
        wrong += number != int(show.bench.session.frame) - round(show.info("delay_frames"))
    after = held()
    code_ms = show.bench.frame_ms[skipped:]
    p50, p95, p99 = np.percentile(code_ms, (50, 95, 99))
    results: dict[str, Any] = {
        "size": f"{width}x{height}",
        "frames": len(code_ms),
        "code_ms": {"p50": round(p50, 3), "p95": round(p95, 3), "p99": round(p99, 3)},
        "wrong": wrong,
        "different_mattes": len(mattes),
        "drops": show.info("drops"),
        "delay_frames": show.info("delay_frames"),
        "before": before,
        "after": after,
        "refusals": [str(r) for r in show.bench.refusals],
    }
    show.bench.close()
    answers(results)


main()
