"""Links between two processes: one-way latency and throughput, beside other ways.

Latency: the writer sends one matte at a time, to a reader that waits for it; between two the
reader copies the same bytes twice, as "memcpy". Throughput: the writer sends as fast as it can;
counted is what the reader has got. PromptMatte's links and iceoryx2 keep the newest mattes and
drop the others, the rest hold the writer up.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np

from promptmatte.bench import link_copies
from promptmatte.bench.link_carriers import CARRIERS, Carrier, Receive, Send
from promptmatte.bench.link_load import Load
from promptmatte.bench.machine import machine
from promptmatte.bench.percentiles import percentiles, timed_ms
from promptmatte.bench.report import Cell, Report, Table
from promptmatte.errors import LinkError
from promptmatte.frame import PixelFormat

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

SIZES_HW = ((540, 960), (1080, 1920), (2160, 3840))
FILLS = (None, PixelFormat.RGB8)
ROUNDS = 200
FLOOD_S = 2.0
WARM_UP = 10
PATIENCE_S = 30.0
BEFORE_SEND_S = 0.002
"""In which the reader has begun to wait."""

COLUMNS = (
    "link", "size", "matte", "MB", "p50 ms", "p95 ms", "p99 ms", "memcpy p50 ms", "GB/s",
    "mattes/s", "missed", "note",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Flood:
    """What came of what was sent as fast as it could be."""

    sent: int
    received: int
    per_s: float


def report(
    command: str,
    *,
    sizes_hw: Sequence[tuple[int, int]] = SIZES_HW,
    rounds: int = ROUNDS,
    flood_s: float = FLOOD_S,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Every carrier with every load, and the shared-memory link beside plain copies."""
    loads = [Load(size_hw=size_hw, fill=fill) for size_hw in sizes_hw for fill in FILLS]
    rows, copies = [], []
    for load in loads:
        tell(f"{load.size} {load.name}")
        copies.append(link_copies.measure(load, rounds))
        rows += [row(name, load, rounds=rounds, flood_s=flood_s) for name in CARRIERS]
    return Report(
        command=command,
        title="Links",
        about="Mattes of noise from a writer's process to a reader's, alpha alone and with a fill "
        f"of RGB. Latency: {rounds} mattes, each sent to a waiting reader; from before the send "
        "until the reader has arrays that it may keep. memcpy: two plain copies of the same bytes, "
        f"made by the reader in between. Throughput: {flood_s:g} s of sending as fast as can be; "
        "PromptMatte's links and iceoryx2 drop what the reader is not in time for, the others "
        "make the writer wait. The second table leaves the other process and the waiting out: "
        "send and read of the shared-memory link in one process, in turn with plain copies into "
        "and out of as many slots.",
        machine=machine("numpy", "pyzmq", "iceoryx2"),
        tables=[
            Table(title="From process to process", columns=COLUMNS, rows=rows),
            Table(
                title="Shared memory beside plain copies", columns=link_copies.COLUMNS, rows=copies
            ),
        ],
        raw={"rounds": rounds, "flood_s": flood_s},
    )


def row(name: str, load: Load, *, rounds: int, flood_s: float) -> list[Cell]:
    """The row of one carrier, which says why where it cannot be had."""
    head: list[Cell] = [name, load.size, load.name, round(load.byte_count / 1e6, 1)]
    try:
        carrier = CARRIERS[name]()
    except ImportError as error:
        return [*head, *(None for _ in COLUMNS[len(head) : -1]), f"not measured: {error}"]
    with writer(carrier, load) as orders, carrier.receiving(load) as receive:
        latencies_ms, memcpy_ms = _one_by_one(orders, receive, load, rounds)
        flood = _flood(orders, receive, flood_s)
    return [
        *head,
        *percentiles(latencies_ms),
        round(float(np.median(memcpy_ms)), 3),
        round(flood.per_s * load.byte_count / 1e9, 2),
        round(flood.per_s, 1),
        f"{1 - flood.received / flood.sent:.0%}",
        "",
    ]


@contextlib.contextmanager
def writer(carrier: Carrier, load: Load) -> Iterator[Connection]:
    """Orders to a writer in a process of its own: seconds to send for, or 0 for one matte."""
    context = multiprocessing.get_context("spawn")
    orders, theirs = context.Pipe()
    process: BaseProcess = context.Process(target=write, args=(carrier, load, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield orders
        orders.send(None)
        process.join(PATIENCE_S)
    finally:
        orders.close()
        if process.is_alive():
            process.terminate()
            process.join()


def write(carrier: Carrier, load: Load, orders: Connection) -> None:
    """The writer's process: sends as ordered until told to end."""
    with carrier.sending(load) as send:
        orders.send("open")
        while (seconds := orders.recv()) is not None:
            if seconds:
                orders.send(_send_for(send, seconds))
            else:
                time.sleep(BEFORE_SEND_S)
                send(time.perf_counter_ns())


def _send_for(send: Send, seconds: float) -> int:
    """How many were sent."""
    sent, end_s = 0, time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        send(time.perf_counter_ns())
        sent += 1
    return sent


def _one_by_one(
    orders: Connection, receive: Receive, load: Load, rounds: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of each way, and of two copies of the same bytes."""
    expected = load.arrays()
    slots = [link_copies.copied(expected) for _ in range(link_copies.SLOTS)]
    _meet(orders, receive)
    latencies_ms, memcpy_ms = [], []
    for turn in range(rounds + WARM_UP):
        orders.send(0)
        found = receive(PATIENCE_S)
        now_ns = time.perf_counter_ns()
        if found is None:
            raise LinkError(f"expected a matte within {PATIENCE_S:g} s; none came")
        if turn == WARM_UP and not all(map(np.array_equal, found[1], expected)):
            raise LinkError("expected the matte that was sent; another came")
        slot = slots[turn % len(slots)]
        in_ms, _ = timed_ms(link_copies.copy_into, slot, expected)
        out_ms, _ = timed_ms(link_copies.copied, slot)
        latencies_ms.append((now_ns - found[0]) / 1e6)
        memcpy_ms.append(in_ms + out_ms)
    return latencies_ms[WARM_UP:], memcpy_ms[WARM_UP:]


def _meet(orders: Connection, receive: Receive) -> None:
    """Returns when mattes come; what is sent before both ends know of each other may be lost."""
    try:
        if not orders.poll(PATIENCE_S):
            raise LinkError(f"expected the writer to open within {PATIENCE_S:g} s; it did not")
        orders.recv()
    except EOFError as error:
        raise LinkError("expected a writer that sends; its process ended") from error
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        orders.send(0)
        if receive(0.5):
            while receive(0.05):
                pass
            return
    raise LinkError(f"expected a matte within {PATIENCE_S:g} s; none came")


def _flood(orders: Connection, receive: Receive, seconds: float) -> Flood:
    """Takes as fast as can be what is sent as fast as can be."""
    orders.send(seconds)
    received, first_ns, last_ns = 0, 0, 0
    while (found := receive(0.05)) or not orders.poll():
        if found:
            last_ns = time.perf_counter_ns()
            first_ns = first_ns or last_ns
            received += 1
    if received < 2:
        raise LinkError(f"expected mattes in {seconds:g} s; got {received}")
    sent: int = orders.recv()
    per_s = (received - 1) * 1e9 / (last_ns - first_ns)
    return Flood(sent=sent, received=received, per_s=per_s)
