"""Reads mattes out of shared memory: python read_mattes_shm.py [SESSION [COUNT]]."""

import sys

from promptmatte_shm import ClientSession

session, count = (*sys.argv[1:], *("promptmatte", "100")[len(sys.argv) - 1 :])
with ClientSession(session.removeprefix("shm:")) as link:
    for _ in range(int(count)):
        matte = link.latest_matte(timeout_s=3.0)
        if matte is None:
            sys.exit(f"expected mattes in session {session}; got none: is the server running?")
        height, width, channels = matte.alpha.shape  # a read-only numpy array
        print(
            f"{width}x{height}x{channels} seq {matte.info.seq} age {matte.age_ms:.0f} ms "
            f"confidence {[round(c, 2) for c in matte.confidence]}"
        )
