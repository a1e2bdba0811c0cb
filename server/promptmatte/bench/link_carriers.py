"""Ways to bring arrays from one process to another: PromptMatte's links and what else there is.

A carrier is made by the reader and goes to the writer's process by pickle. Stamps are of
time.perf_counter_ns, which all processes of a machine share.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import queue
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from promptmatte.bench.link_load import Arrays, Load
from promptmatte.links import open_client_link, open_server_link

Send = Callable[[int], None]
"""Sends the load under this stamp."""

Receive = Callable[[float], tuple[int, Arrays] | None]
"""The stamp and the arrays of what came, None for nothing within so many seconds. The arrays stay
valid after the next one has come."""

POLL_S = 0.0005
"""Between two looks of those that cannot wait; it is promptmatte_shm's."""

STAMP_BYTES = 8


class Carrier(Protocol):
    """One way, for one load; each end is used in one process."""

    def sending(self, load: Load) -> AbstractContextManager[Send]:
        """The writer's end, open."""
        ...

    def receiving(self, load: Load) -> AbstractContextManager[Receive]:
        """The reader's end, open."""
        ...


class LinkCarrier:
    """One of PromptMatte's links; only the newest matte counts."""

    def __init__(self, address: str) -> None:
        self._address = address

    @contextmanager
    def sending(self, load: Load) -> Iterator[Send]:
        """The server's end."""
        arrays, sent = load.arrays(), 0
        link = open_server_link(self._address)

        def send(stamp_ns: int) -> None:
            nonlocal sent
            link.send_matte(load.matte(arrays, seq=sent, stamp_ns=stamp_ns))
            sent += 1

        try:
            yield send
        finally:
            link.close()

    @contextmanager
    def receiving(self, load: Load) -> Iterator[Receive]:  # noqa: ARG002
        """The client's end."""
        link = open_client_link(self._address)

        def receive(timeout_s: float) -> tuple[int, Arrays] | None:
            matte = link.latest_matte(timeout_s)
            if matte is None:
                return None
            arrays = [np.asarray(a, np.uint8) for a in (matte.alpha, matte.fill) if a is not None]
            return matte.info.captured_ns, arrays

        try:
            yield receive
        finally:
            link.close()


class QueueCarrier:
    """multiprocessing.Queue of four places; it pickles, and every item comes."""

    def __init__(self) -> None:
        self._queue: Any = multiprocessing.get_context("spawn").Queue(4)

    @contextmanager
    def sending(self, load: Load) -> Iterator[Send]:
        """put()."""
        arrays = load.arrays()
        yield lambda stamp_ns: self._queue.put((stamp_ns, arrays))

    @contextmanager
    def receiving(self, load: Load) -> Iterator[Receive]:  # noqa: ARG002
        """get()."""

        def receive(timeout_s: float) -> tuple[int, Arrays] | None:
            try:
                found: tuple[int, Arrays] = self._queue.get(timeout=timeout_s)
            except queue.Empty:
                return None
            return found

        yield receive


class PyzmqCarrier:
    """Bare pyzmq: PUSH and PULL of multipart messages without copies, every message comes.

    scheme: ipc, a socket of the file system, or tcp on loopback. ImportError for a libzmq without.
    """

    def __init__(self, scheme: str) -> None:
        import zmq

        if not (scheme == "tcp" or zmq.has(scheme)):
            raise ImportError(f"this libzmq has no {scheme}")
        name = f"promptmatte-{secrets.token_hex(4)}"
        self._address = (
            f"ipc://{Path(tempfile.gettempdir()) / name}"
            if scheme == "ipc"
            else f"tcp://127.0.0.1:{_free_port()}"
        )

    @contextmanager
    def sending(self, load: Load) -> Iterator[Send]:
        """PUSH."""
        arrays = load.arrays()
        with self._socket("PUSH") as push:
            push.connect(self._address)

            def send(stamp_ns: int) -> None:
                push.send_multipart([stamp_ns.to_bytes(STAMP_BYTES, "little"), *arrays], copy=False)

            yield send

    @contextmanager
    def receiving(self, load: Load) -> Iterator[Receive]:
        """PULL."""
        shapes = [array.shape for array in load.arrays()]
        with self._socket("PULL") as pull:
            pull.bind(self._address)

            def receive(timeout_s: float) -> tuple[int, Arrays] | None:
                if not pull.poll(1000 * timeout_s):
                    return None
                stamp, *frames = pull.recv_multipart(copy=False)
                parts = zip(frames, shapes, strict=True)
                arrays = [np.frombuffer(f.buffer, np.uint8).reshape(shape) for f, shape in parts]
                return int.from_bytes(stamp.bytes, "little"), arrays

            yield receive

    @contextmanager
    def _socket(self, kind: str) -> Iterator[Any]:
        import zmq

        with zmq.Context() as context, context.socket(getattr(zmq, kind)) as opened:
            opened.setsockopt(zmq.LINGER, 0)
            opened.set_hwm(4)
            yield opened


class IceoryxCarrier:
    """iceoryx2's publish and subscribe: written into a loaned sample, copied out, as a picture
    that is kept has to be. Only the newest samples count. ImportError where it is not installed.
    """

    def __init__(self) -> None:
        import iceoryx2  # noqa: F401  so that whoever has none hears of it here

        self._name = f"promptmatte-{secrets.token_hex(4)}"

    @contextmanager
    def sending(self, load: Load) -> Iterator[Send]:
        """Loans, writes, sends."""
        arrays, byte_count = load.arrays(), STAMP_BYTES + load.byte_count
        with self._service() as service:
            publisher = service.publisher_builder().initial_max_slice_len(byte_count).create()

            def send(stamp_ns: int) -> None:
                sample = publisher.loan_slice_uninit(byte_count)
                place = (ctypes.c_uint8 * byte_count).from_address(sample.payload_ptr)
                for view, source in zip(
                    _split(np.ctypeslib.as_array(place), load), arrays, strict=True
                ):
                    np.copyto(view, source)
                ctypes.c_int64.from_address(sample.payload_ptr).value = stamp_ns
                sample.assume_init().send()

            yield send

    @contextmanager
    def receiving(self, load: Load) -> Iterator[Receive]:
        """Looks every POLL_S, as promptmatte_shm does, and copies."""
        with self._service() as service:
            subscriber = service.subscriber_builder().create()

            def receive(timeout_s: float) -> tuple[int, Arrays] | None:
                deadline_s = time.monotonic() + timeout_s
                while (sample := subscriber.receive()) is None:
                    if time.monotonic() >= deadline_s:
                        return None
                    time.sleep(POLL_S)
                data = np.frombuffer(sample.payload().as_memory_view(), np.uint8)
                arrays = [view.copy() for view in _split(data, load)]
                stamp_ns = int(data[:STAMP_BYTES].view(np.int64)[0])
                del data
                sample.delete()
                return stamp_ns, arrays

            yield receive

    @contextmanager
    def _service(self) -> Iterator[Any]:
        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        name = iceoryx2.ServiceName.new(self._name)
        builder = node.service_builder(name).publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
        yield builder.open_or_create()


def _split(data: Any, load: Load) -> Arrays:
    """The arrays of a load within bytes that begin with the stamp."""
    views, start = [], STAMP_BYTES
    for kind in (load.alpha, load.fill):
        if kind:
            end = start + kind.frame_bytes(*load.size_hw)
            views.append(data[start:end].reshape(*load.size_hw, kind.channels))
            start = end
    return views


def _free_port() -> int:
    """A port below the ephemeral ones whose neighbours are free too, as zmq: wants three."""
    chance = secrets.SystemRandom()
    for _ in range(200):
        port = chance.randrange(20_001, 32_000)
        with ExitStack() as held:
            try:
                for offset in (-1, 0, 1):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except OSError:
                continue
        return port
    raise OSError("expected three free ports in a row on 127.0.0.1; found none: close some program")


CARRIERS: dict[str, Callable[[], Carrier]] = {
    "PromptMatte shm": lambda: LinkCarrier(f"shm:bench{secrets.token_hex(4)}"),
    "PromptMatte zmq": lambda: LinkCarrier(f"zmq:tcp://127.0.0.1:{_free_port()}"),
    "multiprocessing.Queue": QueueCarrier,
    "pyzmq, ipc": lambda: PyzmqCarrier("ipc"),
    "pyzmq, tcp": lambda: PyzmqCarrier("tcp"),
    "iceoryx2": IceoryxCarrier,
}
