"""Puts the keyed picture over green: python composite_shm.py [SESSION [COUNT [FILE.ppm]]]."""

import sys
from pathlib import Path

import numpy as np
from promptmatte_shm import ClientSession

GREEN = np.array([0, 177, 64], np.float32)
defaults = ("promptmatte", "100", "composite.ppm")
session, count, path = (*sys.argv[1:], *defaults[len(sys.argv) - 1 :])
with ClientSession(session.removeprefix("shm:")) as link:
    for _ in range(int(count)):
        matte = link.latest_matte(timeout_s=3.0)
        if matte is None or matte.fill is None:
            got = "no picture: set the control fill" if matte else "none: is the server running?"
            sys.exit(f"expected mattes with their picture in session {session}; got {got}")
        if matte.fill.shape[2] == 3:  # fill=picture: the matte's own frame
            alpha = matte.alpha[..., :1] / np.float32(255)
            foreground = matte.fill * alpha
        else:  # fill=foreground: multiplied with its alpha already
            foreground, alpha = matte.fill[..., :3], matte.fill[..., 3:] / np.float32(255)
        composite = (foreground + GREEN * (1 - alpha) + 0.5).astype(np.uint8)
        print(f"seq {matte.info.seq}: {matte.info.seq - matte.anchor_seq} frames after its anchor")
# the last one, as a picture
Path(path).write_bytes(b"P6 %d %d 255\n" % composite.shape[1::-1] + composite.tobytes())
