"""Writers that die in the middle of a write: in turn with a reader, and in a race with one."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
from promptmatte.conformance.raw_memory import NEWEST_WORD, PIXELS_AT, SLOT_HEADER_AT, SLOTS_AT
from promptmatte_shm import FrameInfo, Matte
from promptmatte_shm.ring import Picture, ReadCounts, RingReader, RingWriter
from promptmatte_shm.slot import SlotHeader

from benchmarks.faults.picture import fault_of_matte, matte_of
from benchmarks.faults.result import Result
from benchmarks.processes import free_session, started

SLOTS = 2
SMALL_HW, LARGE_HW = (24, 32), (384, 512)
CONTENTS = 16
"""Different pictures in a race; made before, so that the writer is fast enough to lap readers."""

MOST_IN_A_ROW = 3
WORD_BYTES = 8

Store = tuple[int, bytes | memoryview]


class DyingWriter(RingWriter):
    """A RingWriter that can also die in the middle of a write and be there again after it."""

    @classmethod
    def of(cls, name: str, size_hw: tuple[int, int]) -> DyingWriter:
        """One of a ring for mattes of this size."""
        largest = SlotHeader.of_matte(matte_of(1, _info(1), size_hw)).byte_size
        return cls(name, generation=1, slot_count=SLOTS, slot_bytes=largest)

    def send(self, matte: Matte) -> None:
        """Writes a whole matte, as every writer does."""
        self.write(SlotHeader.of_matte(matte), matte.alpha, matte.fill)

    def die_sending(self, matte: Matte, share: float) -> bool:
        """Does what `write` does, in its order, up to this share of its bytes: a ticket is stored
        whole or not at all. Whether it came to publish the matte."""
        stores = self._stores(matte)
        left = int(share * (sum(len(content) for _, content in stores) + 1))
        for offset, content in stores:
            if left < len(content) == WORD_BYTES:
                return False
            self._segment.write(offset, content[:left])
            if left < len(content):
                return False
            left -= len(content)
        return True

    def _stores(self, matte: Matte) -> list[Store]:
        header = SlotHeader.of_matte(matte)
        self._ticket += 1
        ticket = struct.pack("<Q", self._ticket)
        slot_at = SLOTS_AT + self._ticket % self._slot_count * self._stride
        stores = [
            (slot_at, ticket),
            (slot_at + SLOT_HEADER_AT, header.pack()),
            (slot_at + PIXELS_AT, matte.alpha.reshape(-1).data),
        ]
        if matte.fill is not None:
            stores.append((slot_at + PIXELS_AT + header.fill_at, matte.fill.reshape(-1).data))
        return [*stores, (slot_at + WORD_BYTES, ticket), (NEWEST_WORD * WORD_BYTES, ticket)]


def tear_in_turn(count: int, rng: np.random.Generator) -> Result:
    """Up to three torn writes in a row, a look by the reader after each, then a whole write,
    which the reader must be given (recovered: the torn ones before it are)."""
    result = Result(fault="torn write, then a look")
    name = f"pm_{free_session()}.m1"
    writer = DyingWriter.of(name, SMALL_HW)
    reader = RingReader(name, generation=1, counts=ReadCounts())
    seq = 0
    try:
        while result.tried < count:
            torn = min(int(rng.integers(1, MOST_IN_A_ROW + 1)), count - result.tried)
            for share in rng.random(torn):
                seq += 1
                result.tried += 1
                matte = matte_of(seq, _info(seq), SMALL_HW)
                published = writer.die_sending(matte, float(share))
                _judge(reader.latest(), result, {seq} if published else set())
            begun_ns = time.monotonic_ns()
            for _ in range(int(rng.integers(1, SLOTS + 1))):
                seq += 1
                writer.send(matte_of(seq, _info(seq), SMALL_HW))
            if _judge(reader.latest(), result, {seq}):
                result.recovered += torn
                result.recover_ms.append((time.monotonic_ns() - begun_ns) / 1e6)
    finally:
        writer.close()
    return result


def _judge(
    picture: Picture | None, result: Result, may_be: set[int], contents: int = 2**62
) -> bool:
    """Whether the picture is a whole one of these; one that is neither is put down as wrong."""
    if picture is None:
        return False
    matte = picture.header.matte(picture.pixels, picture.fill)
    fault = fault_of_matte(matte, matte.info.seq % contents)
    if fault is None and matte.info.seq not in may_be:
        fault = f"matte {matte.info.seq} was never published, or is an old one"
    result.looked_at += 1
    if fault is not None:
        result.wrong.append(fault)
    return fault is None


def tear_in_a_race(count: int, rng: np.random.Generator) -> Result:
    """A process that tears as many writes at random places, among whole ones, as fast as it can,
    while this one reads as fast as it can. Recovered: those after which a whole one followed."""
    result = Result(fault="torn writes while a reader reads")
    name = f"pm_{free_session()}.m1"
    counts = ReadCounts()
    last = 0
    with started(
        "-m", "benchmarks.faults.torn", name, count, int(rng.integers(2**31)),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("expected a writer that is ready; got one that ended")
        reader = RingReader(name, generation=1, counts=counts)
        while process.poll() is None:
            last = _read_one(reader, result, last)
        _read_one(reader, result, last)
        result.tried, result.recovered = map(int, process.stdout.read().split())
    result.note = f"{counts.torn} torn reads noticed, {counts.received} whole ones given"
    return result


def _read_one(reader: RingReader, result: Result, last: int) -> int:
    """The number of the newest picture, which must be later than the last one's."""
    picture = reader.latest()
    if picture is None:
        return last
    seq = picture.header.info.seq
    _judge(picture, result, {seq} if seq > last else set(), CONTENTS)
    return seq


def race(name: str, count: int, seed: int) -> None:
    """The tearing process: every other write, on the average, dies."""
    rng = np.random.default_rng(seed)
    writer = DyingWriter.of(name, LARGE_HW)
    mattes = [matte_of(number, _info(number), LARGE_HW) for number in range(CONTENTS)]
    tried = recovered = waiting = 0
    try:
        print("ready", flush=True)
        for seq in itertools.count(1):
            matte = replace(mattes[seq % CONTENTS], info=_info(seq))
            if tried < count and rng.random() < 0.5:
                writer.die_sending(matte, float(rng.random()))
                tried, waiting = tried + 1, waiting + 1
                continue
            writer.send(matte)
            recovered, waiting = recovered + waiting, 0
            if tried == count:
                break
    finally:
        writer.close()
    print(tried, recovered)


def _info(seq: int) -> FrameInfo:
    return FrameInfo(stream_id=1, seq=seq, pts_ns=0, captured_ns=seq)


if __name__ == "__main__":
    race(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
