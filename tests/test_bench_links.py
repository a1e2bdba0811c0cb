"""The benchmark of the links: real processes, all carriers, few mattes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from promptmatte.bench import link_copies, links
from promptmatte.bench.link_carriers import CARRIERS, LinkCarrier, Receive, Send
from promptmatte.bench.link_load import Load
from promptmatte.errors import LinkError
from promptmatte.frame import PixelFormat

LOAD = Load(size_hw=(36, 64), fill=PixelFormat.RGB8)
NUMBERS = slice(4, -2)


@pytest.mark.parametrize("name", CARRIERS)
def test_every_carrier_brings_what_was_sent(name: str) -> None:
    if name == "iceoryx2":
        pytest.importorskip("iceoryx2")
    if name == "pyzmq, ipc":
        zmq = pytest.importorskip("zmq")
        if not zmq.has("ipc"):
            pytest.skip("no ipc here")
    row = dict(zip(links.COLUMNS, links.row(name, LOAD, rounds=3, flood_s=0.1), strict=True))
    assert row["note"] == ""
    assert 0 < row["p50 ms"] <= row["p95 ms"] <= row["p99 ms"]
    assert row["mattes/s"] > 0
    if name.startswith(("multiprocessing", "pyzmq")):
        assert row["missed"] == "0%"


def test_one_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> LinkCarrier:
        raise ModuleNotFoundError("No module named 'iceoryx2'")

    monkeypatch.setitem(CARRIERS, "iceoryx2", missing)
    row = links.row("iceoryx2", LOAD, rounds=1, flood_s=0.1)
    assert row[-1] == "not measured: No module named 'iceoryx2'"
    assert not any(row[NUMBERS])
    assert len(row) == len(links.COLUMNS)


class Changing(LinkCarrier):
    """Sends another fill than the one the reader expects."""

    @contextmanager
    def sending(self, load: Load) -> Iterator[Send]:
        with super().sending(replace(load, fill=PixelFormat.RGBA8)) as send:
            yield send

    @contextmanager
    def receiving(self, load: Load) -> Iterator[Receive]:
        with super().receiving(load) as receive:
            yield receive


def test_a_changed_matte_is_no_measurement(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CARRIERS, "changing", lambda: Changing(session))
    with pytest.raises(LinkError, match="expected the matte that was sent"):
        links.row("changing", LOAD, rounds=3, flood_s=0.1)


class Ending(LinkCarrier):
    """Its writer ends before it sends."""

    @contextmanager
    def sending(self, load: Load) -> Iterator[Send]:
        raise SystemExit
        yield


def test_a_writer_that_ends_is_no_measurement(
    session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CARRIERS, "ending", lambda: Ending(session))
    with pytest.raises(LinkError, match="its process ended"):
        links.row("ending", LOAD, rounds=3, flood_s=0.1)
    assert not multiprocessing.active_children()


def test_copies_are_compared_with_the_same_bytes() -> None:
    row = dict(zip(link_copies.COLUMNS, link_copies.measure(LOAD, rounds=20), strict=True))
    assert row["size"] == "64x36"
    assert row["matte"] == "gray8+rgb8"
    assert row["of memcpy"] == pytest.approx(row["memcpy p50 ms"] / row["shm p50 ms"], rel=0.05)


def test_the_report_has_a_row_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(CARRIERS) - {"PromptMatte shm"}:
        monkeypatch.delitem(CARRIERS, name)
    found = links.report("promptmatte bench links", sizes_hw=[(36, 64)], rounds=2, flood_s=0.1)
    between, copies = found.tables
    assert [row[2] for row in between.rows] == ["gray8", "gray8+rgb8"]
    assert len(copies.rows) == 2
    assert found.machine["pyzmq"]
