"""The shared-memory link beside plain copies of the same bytes, in one process.

Writer and reader of a link each copy a picture once. Beside every send an array of the same bytes
is copied into one of as many slots, beside every read out of it, so that both meet the same caches.
"""

from __future__ import annotations

import secrets
import time

import numpy as np
from promptmatte_shm import ClientSession, Matte, ServerSession

from promptmatte.bench.link_load import Arrays, Load
from promptmatte.bench.percentiles import percentiles, timed_ms
from promptmatte.bench.report import Cell
from promptmatte.errors import LinkError

COLUMNS = (
    "size", "matte", "MB", "memcpy p50 ms", "shm p50 ms", "p95 ms", "p99 ms", "of memcpy",
    "send of memcpy", "read of memcpy",
)  # fmt: skip
SLOTS = 4
WARM_UP = 25


def copied(sources: Arrays) -> Arrays:
    """New arrays with the same bytes, as a reader makes them."""
    copies = [np.empty_like(source) for source in sources]
    copy_into(copies, sources)
    return copies


def copy_into(places: Arrays, sources: Arrays) -> None:
    """The same bytes in these arrays, as a writer leaves them in a slot."""
    for place, source in zip(places, sources, strict=True):
        np.copyto(place, source)


def measure(load: Load, rounds: int) -> list[Cell]:
    """The row of one load; LinkError when a matte is lost or changed."""
    sent = load.arrays()
    slots = [copied(sent) for _ in range(SLOTS)]
    session = f"bench{secrets.token_hex(4)}"
    times: list[tuple[float, float, float, float]] = []
    with ServerSession(session, slot_count=SLOTS) as server, ClientSession(session) as client:
        while not client.status.connected:
            time.sleep(0.01)
        for turn in range(rounds + WARM_UP):
            slot, matte = slots[turn % SLOTS], load.matte(sent, seq=turn, stamp_ns=0)
            in_ms, _ = timed_ms(copy_into, slot, sent)
            out_ms, _ = timed_ms(copied, slot)
            send_ms, _ = timed_ms(server.send_matte, matte)
            read_ms, got = timed_ms(client.latest_matte)
            if got is None or (turn == rounds and not same(got, sent)):
                raise LinkError("a matte was lost or changed on its way through shared memory")
            times.append((in_ms, out_ms, send_ms, read_ms))
    return _row(load, times[WARM_UP:])


def same(matte: Matte, sent: Arrays) -> bool:
    """Whether just these arrays came."""
    got = [array for array in (matte.alpha, matte.fill) if array is not None]
    return len(got) == len(sent) and all(map(np.array_equal, got, sent))


def _row(load: Load, times: list[tuple[float, float, float, float]]) -> list[Cell]:
    in_ms, out_ms, send_ms, read_ms = np.array(times).T
    plain_ms = float(np.median(in_ms + out_ms))
    p50, p95, p99 = percentiles(send_ms + read_ms, digits=4)
    return [
        load.size,
        load.name,
        round(load.byte_count / 1e6, 1),
        round(plain_ms, 4),
        p50,
        p95,
        p99,
        round(plain_ms / p50, 3),
        round(float(np.median(in_ms) / np.median(send_ms)), 3),
        round(float(np.median(out_ms) / np.median(read_ms)), 3),
    ]
