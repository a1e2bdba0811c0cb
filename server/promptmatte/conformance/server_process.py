"""A server in a process of its own, to be killed: python -m ...server_process ROLE SESSION."""

from __future__ import annotations

import itertools
import os
import sys
import threading

import numpy as np
from promptmatte_shm import FrameInfo, Matte, ServerSession

SERVE_PAUSE_S = 0.005
FLOOD_PAUSE_S = 0.0005
FLOOD_BURST = 6
FLOOD_VALUES = 8
FLOOD_HW = (512, 512)


def uniform(seq: int, height: int, width: int, channels: int, fill_channels: int) -> Matte:
    """A matte, and its fill, of one value, seq modulo 256."""
    value = seq % 256
    fill = np.full((height, width, fill_channels), value, np.uint8) if fill_channels else None
    return Matte(
        info=FrameInfo(stream_id=1, seq=seq, pts_ns=0, captured_ns=0),
        alpha=np.full((height, width, channels), value, np.uint8),
        anchor_seq=seq,
        age_ms=0.0,
        confidence=(1.0,),
        prompts_version=1,
        fill=fill,
    )


def serve(name: str, ended: threading.Event) -> None:
    """Sends small mattes of changing value and repeats every command."""
    with ServerSession(name) as server:
        server.serve(lambda command: {"ok": True, "command": dict(command)})
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for seq in itertools.count(1):
            server.send_matte(uniform(seq, 6, 8, 1, 0))
            if ended.wait(SERVE_PAUSE_S):
                return


def flood(name: str, ended: threading.Event) -> None:
    """Sends large mattes of one value each, every other one with a fill, on two slots and so
    fast that a reader is often overtaken; now and then it rests, so that one can be read."""
    mattes = [uniform(seq, *FLOOD_HW, 4, 3 * (seq % 2)) for seq in range(FLOOD_VALUES)]
    with ServerSession(name, slot_count=2) as server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for count in itertools.count():
            server.send_matte(mattes[count % FLOOD_VALUES])
            if count % FLOOD_BURST == 0 and ended.wait(FLOOD_PAUSE_S):
                return


def main() -> None:
    """Runs a role until it is killed or its input ends."""
    ended = threading.Event()

    def watch() -> None:
        while os.read(0, 1024):  # not sys.stdin: its lock would be held at the exit
            pass
        ended.set()

    threading.Thread(target=watch, name="conformance-input", daemon=True).start()
    {"serve": serve, "flood": flood}[sys.argv[1]](sys.argv[2], ended)


if __name__ == "__main__":
    main()
