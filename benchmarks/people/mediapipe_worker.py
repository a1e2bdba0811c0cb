"""MediaPipe's selfie segmentation in a process of its own: pictures in at stdin, masks out at
stdout. It imports nothing of PromptMatte; `mediapipe_peer` starts it.

Numbers are little-endian. First it writes a u32 and so many bytes of JSON: {"models": names,
"versions": {package: version}}. Then for every picture it reads u32 height, u32 width and the RGB
bytes, and writes for each model f64 milliseconds and its mask float32 [height, width], 0..1. It
ends with stdin.

The graphs of both models have no input of an earlier mask (mediapipe 0.10.14,
selfie_segmentation_cpu), so that one instance answers every picture as a new one would: bit for
bit the same on portraits shown in two orders.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from typing import BinaryIO

MODELS = {"MediaPipe general": 0, "MediaPipe landscape": 1}
"""Name -> model_selection: 0 sees 256x256, 1 sees 256x144."""


def protocol_channel() -> BinaryIO:
    """stdout for the protocol alone: what libraries print goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return channel


def main() -> None:
    """Answers pictures until stdin ends."""
    out = protocol_channel()
    import mediapipe
    import numpy as np

    solution = mediapipe.solutions.selfie_segmentation.SelfieSegmentation
    models = {name: solution(model_selection=which) for name, which in MODELS.items()}
    versions = {"mediapipe": mediapipe.__version__, "numpy": np.__version__}
    hello = json.dumps({"models": list(models), "versions": versions}).encode()
    out.write(struct.pack("<I", len(hello)) + hello)
    out.flush()
    while header := sys.stdin.buffer.read(8):
        height, width = struct.unpack("<II", header)
        pixels = np.frombuffer(sys.stdin.buffer.read(height * width * 3), np.uint8)
        picture = pixels.reshape(height, width, 3)
        for model in models.values():
            start_ns = time.perf_counter_ns()
            mask = model.process(picture).segmentation_mask
            ms = (time.perf_counter_ns() - start_ns) / 1e6
            out.write(struct.pack("<d", ms) + np.ascontiguousarray(mask, "<f4").tobytes())
        out.flush()


if __name__ == "__main__":
    main()
