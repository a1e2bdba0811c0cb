"""The processes that faults happen to: python -m benchmarks.faults.worker ROLE ARGUMENT ..."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from promptmatte.clock import RealClock
from promptmatte.errors import LinkError
from promptmatte.links import open_client_link
from promptmatte.recording.recorder import Recorder
from promptmatte.recording.target import RecordingTarget
from promptmatte_shm import ClientSession, FrameInfo, ServerSession

from benchmarks.faults.picture import fault_of_matte, matte_of, scene
from benchmarks.faults.recorded import pair

PROMPTS = ("person", "sky", "red car", "hair", "tree")

over = threading.Event()


def ready() -> None:
    """Says so, once."""
    print("ready", flush=True)


def info_of(stream: int, seq: int) -> FrameInfo:
    """An identity captured now."""
    now_ns = time.monotonic_ns()
    return FrameInfo(stream_id=stream, seq=seq, pts_ns=now_ns, captured_ns=now_ns)


def write(name: str, pause_s: str) -> None:
    """A server without a model: mattes of two slots, with a rest after each."""
    stream, rest_s = secrets.randbits(62), float(pause_s)
    with ServerSession(name, slot_count=2) as server:
        server.serve(lambda command: {"ok": True, "command": dict(command)})
        ready()
        for seq in itertools.count(1):
            server.send_matte(matte_of(seq, info_of(stream, seq)))
            if over.wait(rest_s) if rest_s else over.is_set():
                return


def read(address: str, check: str, rest_s: str = "0") -> None:
    """A reader that also makes requests and tells at the end what it saw; check: 1 or 0; with a
    rest after each matte it is a slow one."""
    looked_at, wrong, last, link = 0, 0, -1, open_client_link(address)
    while not over.wait(float(rest_s)):
        matte = link.latest_matte(0.05)
        if matte is None:
            continue
        if looked_at == 0:
            ready()
        looked_at += 1
        if check == "1":
            wrong += fault_of_matte(matte) is not None or matte.info.seq <= last
            last = matte.info.seq
        if looked_at % 10 == 0:
            with contextlib.suppress(LinkError):  # a server that has just been stopped
                link.request({"command": "ping"}, timeout_s=5.0)
    link.close()
    print(json.dumps({"looked_at": looked_at, "wrong": wrong}), flush=True)


def prompt(address: str) -> None:
    """Changes the prompts as fast as answers come, and tells at the end how many were taken."""
    link, taken, refused = open_client_link(address), 0, 0
    ready()
    while not over.is_set():
        text = PROMPTS[(taken + refused) % len(PROMPTS)]
        reply = link.request({"command": "prompt", "prompts": [{"text": text}]}, timeout_s=10.0)
        taken, refused = taken + reply["ok"], refused + (not reply["ok"])
    link.close()
    print(json.dumps({"taken": taken, "refused": refused}), flush=True)


def send(name: str, every: str, fps: str) -> None:
    """A source: scenes at a steady rate, in sizes and formats that change with every so many."""
    stream, period_s, begun_s = secrets.randbits(62), 1 / float(fps), time.monotonic()
    with ClientSession(name) as client:
        ready()
        for seq in itertools.count(1):
            client.send_frame(scene(seq, info_of(stream, seq), int(every)))
            if over.wait(max(0.0, begun_s + seq * period_s - time.monotonic())):
                return


def record(path: str) -> None:
    """A recorder of numbered pictures, ProRes."""
    recorder = Recorder(RecordingTarget(path=Path(path)), what="rgba", clock=RealClock())
    recorder.switch(True)
    for seq in itertools.count():
        recorder.offer(*pair(seq, captured_ns=time.monotonic_ns()))
        if seq == 0:
            ready()
        if over.wait(0.01):
            break
    recorder.close()


def hold(port: str) -> None:
    """A thief: takes a TCP port and listens."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(port)))
        taken.listen()
        ready()
        over.wait()


ROLES: dict[str, Callable[..., None]] = {
    role.__name__: role for role in (write, read, prompt, send, record, hold)
}


def main() -> None:
    """Plays a role until it is killed or its input ends."""

    def watch() -> None:
        while os.read(0, 1024):  # not sys.stdin: its lock would be held at the exit
            pass
        over.set()

    threading.Thread(target=watch, name="fault-input", daemon=True).start()
    ROLES[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
