"""The other process of the shared-memory tests: python shm_peer.py ROLE SESSION."""

from __future__ import annotations

import itertools
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from promptmatte_shm import ClientSession, Frame, FrameInfo, Matte, ServerSession

DEADLINE_S = 20.0
SHM = Path("/dev/shm")


def leftovers(name: str) -> list[str]:
    """Names of the session's segments that exist (Linux; empty elsewhere)."""
    found = [*SHM.glob(f"pm_{name}"), *SHM.glob(f"pm_{name}.*")] if SHM.is_dir() else []
    return sorted(path.name for path in found)


def fresh_name() -> Iterator[str]:
    """A session name nobody uses; fails if the test leaves segments behind."""
    name = f"t{secrets.token_hex(6)}"
    yield name
    left = leftovers(name)
    for path in Path(tempfile.gettempdir()).glob(f"promptmatte_shm.{name}.*"):
        path.unlink()
    for segment in left:
        (SHM / segment).unlink()
    assert left == []


def until(condition: Callable[[], Any]) -> Any:
    """The condition's first true value; fails after a generous deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline_s, "nothing happened until the deadline"
        time.sleep(0.002)
    return value


def info(seq: int = 1) -> FrameInfo:
    """Some identity."""
    return FrameInfo(stream_id=2**62, seq=seq, pts_ns=-5, captured_ns=7)


def frame(value: int = 0, shape: tuple[int, int, int] = (6, 8, 3), seq: int = 1) -> Frame:
    """A frame of one value."""
    return Frame(info=info(seq), pixels=np.full(shape, value, np.uint8))


def matte(
    value: int = 0,
    shape: tuple[int, int, int] = (6, 8, 1),
    seq: int = 1,
    fill_channels: int = 0,
) -> Matte:
    """A matte of one value, with a fill of the same value if that has channels."""
    return Matte(
        info=info(seq),
        alpha=np.full(shape, value, np.uint8),
        anchor_seq=seq - 1,
        age_ms=12.5,
        confidence=(0.25, 1.0),
        prompts_version=3,
        fill=np.full((*shape[:2], fill_channels), value, np.uint8) if fill_channels else None,
    )


@contextmanager
def peer(role: str, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process in this role, once it has said that it is ready; killed at the end."""
    command = [sys.executable, __file__, role, name, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        if role != "ask":
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def serve(name: str) -> None:
    """A server that sends mattes of changing value and size, and repeats every command."""
    with ServerSession(name) as server:
        server.serve(lambda command: {"ok": True, "command": dict(command)})
        print("ready", flush=True)
        for seq in itertools.count(1):
            server.send_matte(matte(seq % 256, (6 + seq // 50 % 3, 8, 1), seq))
            time.sleep(0.002)


def flood(name: str) -> None:
    """A server that sends 1 MB mattes of one value each, every other value with a fill of the
    same value, as fast as it can on two slots."""
    with ServerSession(name, slot_count=2) as server:
        print("ready", flush=True)
        for seq in itertools.count(1):
            told = matte(seq % 256, (512, 512, 4), seq, fill_channels=3 * (seq % 2))
            for _ in range(4):
                server.send_matte(told)


def read(name: str) -> None:
    """A client that reads mattes until it is killed, or its input ends."""
    with ClientSession(name) as client:
        until(lambda: client.latest_matte(0.1))
        print("ready", flush=True)
        if len(sys.argv) > 3:
            return
        while True:
            client.latest_matte(0.1)


def send(name: str) -> None:
    """A client that sends frames of the value given until it is killed."""
    with ClientSession(name) as client:
        for seq in itertools.count(1):
            client.send_frame(frame(int(sys.argv[3]), seq=seq))
            if seq == 1:
                until(lambda: client.status.connected)
                print("ready", flush=True)
            time.sleep(0.002)


def ask(name: str) -> None:
    """A client that makes many requests and checks that each answer is its own."""
    with ClientSession(name) as client:
        for count in range(int(sys.argv[4])):
            command = {"who": sys.argv[3], "count": count, "padding": "x" * (count * 997 % 5000)}
            reply = client.request(command, timeout_s=DEADLINE_S)
            assert reply == {"ok": True, "command": command}, reply
    print("done", flush=True)


if __name__ == "__main__":
    roles = {role.__name__: role for role in (serve, flood, read, send, ask)}
    roles[sys.argv[1]](sys.argv[2])
