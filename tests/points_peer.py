"""A depth camera's program for tests: python points_peer.py SERVER DEPTH STREAM [SIZE].

Sends colour to a server's session and XYZ of the same number to another one, about 30 a second.
x is the number, y the column, z the row + 1; the first row has no depth, the second none that is
finite.
"""

from __future__ import annotations

import itertools
import sys
import time

import numpy as np
from promptmatte_shm import ClientSession, Frame, FrameInfo

COLOUR_HW = (90, 160)


def xyz_of(seq: int, height: int, width: int) -> np.ndarray:
    """The XYZ frame of this number, [H, W, 4]."""
    xyz = np.ones((height, width, 4), np.float32)
    xyz[..., 0] = seq
    xyz[..., 1] = np.arange(width)
    xyz[..., 2] = np.arange(1, height + 1)[:, None]
    xyz[0, :, :3] = 0
    xyz[1, :, :3] = np.nan
    return xyz


def main(server: str, depth: str, stream: str, size: str = "64x48") -> None:
    width, height = map(int, size.split("x"))
    rng = np.random.default_rng(int(stream))
    with ClientSession(server) as colours, ClientSession(depth) as points:
        for seq in itertools.count():
            info = FrameInfo(
                stream_id=int(stream), seq=seq, pts_ns=0, captured_ns=time.monotonic_ns()
            )
            colour = rng.integers(0, 256, (*COLOUR_HW, 3), np.uint8)
            colours.send_frame(Frame(info=info, pixels=colour))
            points.send_frame(Frame(info=info, pixels=xyz_of(seq, height, width)))
            if seq == 0:
                print("ready", flush=True)
            time.sleep(0.033)


if __name__ == "__main__":
    main(*sys.argv[1:])
