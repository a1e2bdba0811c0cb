"""A process with vendors' libraries, real or stood in for: a sink that is offered pictures, or a
source that is read. Usage: sink ADDRESS SYSTEM SIZE... | source ADDRESS SYSTEM.

sink: offers the frame and matte of links_testing at each HEIGHTxWIDTH until it is sent or fails,
then prints the status. source: prints the first picture, or what the source raises.
"""

import json
import sys
import time

from links_testing import make_frame, make_matte, wait_for
from promptmatte.clock import RealClock
from promptmatte.errors import PromptMatteError
from promptmatte.frame import PixelFormat
from promptmatte.sources.vendor import VendorSource
from promptmatte.vendors import open_sink


def send(address: str, system: str, sizes: list[str]) -> None:
    sink = open_sink(address, clock=RealClock(), system=system)
    for seq, size in enumerate(sizes):
        height, width = map(int, size.split("x"))
        before = sink.status()
        sink.offer(
            make_frame(seq, (height, width)),
            make_matte(seq, (height, width), PixelFormat.RGBA8 if seq % 2 else PixelFormat.GRAY8),
        )
        wait_for(
            lambda before=before: (
                any(sink.status()[name] > before[name] for name in ("sent", "errors"))
                or (sink.status()["error"] or "").startswith("hangs")
            )
        )
    print(json.dumps(sink.status()), flush=True)
    started_s = time.monotonic()
    sink.close()
    print(f"closed in {time.monotonic() - started_s:.0f} s", file=sys.stderr)


def read(address: str, system: str) -> None:
    source = VendorSource(address, clock=RealClock(), system=system)
    frame = wait_for(lambda: source.read(0.5))
    source.close()
    print(json.dumps({"shape": frame.pixels.shape, "pixels": frame.pixels.tobytes().hex()}))


if __name__ == "__main__":
    kind, address, system, *sizes = sys.argv[1:]
    try:
        send(address, system, sizes) if kind == "sink" else read(address, system)
    except PromptMatteError as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
