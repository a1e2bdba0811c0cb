"""The segments of TouchDesigner's Shared Mem TOPs: info and picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from promptmatte.links.touch_layout import (
    CORE_BYTES,
    INFO_BYTES,
    RowOrder,
    TouchHeader,
    TouchInfo,
    frame_pixels,
    stored,
)

from .target import Target


def run(data: bytes) -> None:
    """Reads the info, then the picture as one whose segment ends with the input."""
    if data[:1] == b"i":
        TouchInfo.unpack(data[1:])
        return
    segment = memoryview(data[1:])
    header = TouchHeader.unpack(bytes(segment[:CORE_BYTES]), len(segment))
    header.fingerprint(segment)
    frame_pixels(header.copied(segment), RowOrder.BOTTOM_UP)


def seeds() -> Sequence[bytes]:
    """An info, and pictures of every kind that is sent."""
    info = TouchInfo(supported=True, postfix="abc", detached=False).pack()
    found = [b"i" + info.ljust(INFO_BYTES, b"\0")]
    for channels, dtype in ((1, np.uint8), (3, np.uint8), (4, np.uint8), (4, np.float32)):
        header, pixels = stored(np.zeros((4, 6, channels), dtype), RowOrder.BOTTOM_UP)
        found.append(b"p" + header.pack() + pixels.tobytes())
    return found


TARGET = Target(run=run, seeds=seeds)
