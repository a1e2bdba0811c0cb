"""What the TouchDesigner component's own code costs the cooking thread, on the stand-in.

python benchmarks/touchdesigner_cook.py [--frames N]

For each size: milliseconds a frame of the component's code at 60 fps against a server without
a model in another process, without the stand-in's own time (readback, upload, operators). The
peer in the same run copies each float picture on the cooking thread first, as code does that
does not keep to the time in which an array may be read. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from promptmatte.bench.machine import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "touchdesigner"))
from show_runner import ShowRunner

SIZES_HW = ((360, 640), (720, 1280), (1080, 1920))


def measured(size_hw: tuple[int, int], frames: int, *, copy_first: bool) -> dict[str, object]:
    """The figures of one show."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        runner = ShowRunner(Path(folder), f"b{secrets.token_hex(4)}")
        with runner.keyer():
            found = runner.play(
                "steady_show", size_hw=size_hw, frames=frames, paced=True, copy_first=copy_first
            )
    return {name: found[name] for name in ("frames", "code_ms", "drops", "wrong")}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=400)
    frames = parser.parse_args().frames
    rows = {
        f"{width}x{height}": {
            "component": measured((height, width), frames, copy_first=False),
            "copying_first": measured((height, width), frames, copy_first=True),
        }
        for height, width in SIZES_HW
    }
    print(json.dumps({**machine(), "sizes": rows}, indent=1))


if __name__ == "__main__":
    main()
