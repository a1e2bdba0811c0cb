"""The fault suite, a few faults of every kind; `python -m benchmarks.faults` does many."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from promptmatte_shm import FrameInfo
from promptmatte_shm.ring import Picture, RingReader
from promptmatte_shm.segment import aligned

from benchmarks.faults import torn
from benchmarks.faults.__main__ import main
from benchmarks.faults.kinds import KINDS
from benchmarks.faults.picture import fault_of_matte, matte_of
from benchmarks.faults.result import COLUMNS, Result
from benchmarks.faults.served import Served

FEW = {
    "torn": 2000, "torn-race": 2000, "clock": 2, "memory": 6, "frame": 6, "readers": 4,
    "prompts-shm": 2, "prompts-zmq": 2, "kill-writer": 3, "kill-reader": 3, "pause-server": 2,
}  # fmt: skip
"""How many in a test, where it is not one."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Callable[[], Served]]:
    """The one server that several kinds of faults are done to, once one has wanted it."""
    with ExitStack() as stack:
        started: list[Served] = []

        def start() -> Served:
            if not started:
                started.append(stack.enter_context(Served()))
            return started[0]

        yield start


@pytest.mark.parametrize("name", sorted(KINDS, key=lambda name: KINDS[name].served))
def test_the_show_goes_on(name: str, shared: Callable[[], Served]) -> None:
    kind = KINDS[name]
    if not kind.possible:
        pytest.skip("not on this system")
    result = kind.run(FEW.get(name, 1), seed=3, served=shared() if kind.served else None)
    assert result.wrong == []
    assert result.recovered == result.tried >= FEW.get(name, 1)
    assert result.looked_at > 0
    assert result.good


def test_a_reader_that_does_not_check_the_tickets_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Careless(RingReader):
        def latest(self) -> Picture | None:
            ticket = self._segment.words[torn.NEWEST_WORD] + 1  # whatever has been begun
            stride = torn.PIXELS_AT + aligned(self._slot_bytes)
            return self._copy(torn.SLOTS_AT + ticket % torn.SLOTS * stride, None, True, None)

    monkeypatch.setattr(torn, "RingReader", Careless)
    assert torn.tear_in_turn(200, np.random.default_rng(1)).wrong


def test_every_byte_of_a_matte_is_looked_at() -> None:
    info = FrameInfo(stream_id=1, seq=7, pts_ns=0, captured_ns=0)
    assert fault_of_matte(matte_of(7, info)) is None
    rng = np.random.default_rng(2)
    for _ in range(20):
        matte = matte_of(7, info)
        part = matte.alpha if rng.random() < 0.5 else matte.fill
        part.flags.writeable = True
        part.reshape(-1)[rng.integers(part.size)] ^= 1
        assert fault_of_matte(matte) is not None
    assert fault_of_matte(matte_of(9, info)) is not None


def test_a_fault_that_is_not_recovered_from_counts(tmp_path: Path) -> None:
    result = Result(fault="f", tried=2, recovered=2, looked_at=1)
    assert result.good
    for change in ({"recovered": 1}, {"wrong": ["one"]}, {"looked_at": 0}, {"tried": 0}):
        assert not Result(**{**vars(result), **change}).good
    path = tmp_path / "faults.json"
    assert main(["--only", "torn", "--scale", "0.001", "--json", str(path)]) == 0
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["good"]
    assert told["tables"][0]["columns"] == [*COLUMNS]
    assert told["tables"][0]["rows"][0][:3] == ["torn write, then a look", 100, 100]
