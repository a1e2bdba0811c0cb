"""A slice of `python -m benchmarks.fuzz`: every input for a few seconds, and what it once found."""

import struct
import sys
from pathlib import Path

import pytest
from promptmatte.commands.show_file import ShowFile
from promptmatte.errors import ConfigError
from promptmatte.links import wire

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.fuzz.campaign import SHARES, fuzzed, shared  # noqa: E402

SLICE_S = 2


@pytest.mark.parametrize("target", list(SHARES))
def test_nothing_but_refusals(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("atheris", reason="needs Linux")
    monkeypatch.chdir(ROOT)
    outcome = fuzzed(target, findings=tmp_path, seed=1, seconds=SLICE_S)
    assert outcome.findings == []
    assert outcome.cases > 20
    assert outcome.edges > 10


def test_cases_are_shared_out() -> None:
    parts = shared(1_000_000, list(SHARES))
    assert sum(parts.values()) == pytest.approx(1_000_000, abs=len(SHARES))
    assert min(parts, key=parts.__getitem__) == "video"


@pytest.mark.parametrize("depth", [17, 900, 990, 1000, 1020, 5000])
def test_a_deep_message_is_refused(depth: int) -> None:
    with pytest.raises(wire.WireError, match=r"deep|other bytes"):
        wire.decode_command(b"\x91" * depth + b"\xc0")


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000, "a = " + "1" * 5000, "a = 2020-13-45", "#" * 300_000, "\0"]
)
def test_a_hostile_show_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "show.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="expected"):
        ShowFile.read(path)


def test_a_raised_fault_is_found(tmp_path: Path) -> None:
    """The net itself: an error that is none of ours, in a target, is a finding."""
    pytest.importorskip("atheris", reason="needs Linux")
    from benchmarks.fuzz.worker import Findings

    findings = Findings(tmp_path)
    for data in (b"a", b"b"):
        try:
            struct.unpack("<I", data)
        except struct.error as error:
            findings.keep(data, error)
    assert len(list(tmp_path.glob("*.json"))) == 1
