"""promptmatte doctor: it reports what is there, and notices what is not."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from promptmatte.cli import main
from promptmatte.commands import doctor_checks
from promptmatte.commands.doctor_checks import run_checks
from promptmatte.models import embedded

NAMES = [
    "python", "promptmatte", "torch", "device", "model embedded", "shared memory", "port 5570",
    "port 5571", "port 5572", "port 5573", "port 7860", "camera", "scikit-image",
    "encoder prores_ks", "encoder libvpx-vp9", "encoder libx264",
]  # fmt: skip


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tiny_weights: Path) -> Path:
    """Weights in the place of the shipped ones."""
    monkeypatch.setattr(embedded, "weights_path", lambda: tiny_weights)
    return tiny_weights


def test_json_lists_every_check(capfd: pytest.CaptureFixture[str], shipped: Path) -> None:
    code = main(["doctor", "--json"])
    out, error = capfd.readouterr()
    result = json.loads(out)
    assert (code, result["ok"]) == (0, True)
    assert [check["name"] for check in result["checks"]] == NAMES
    for check in result["checks"]:
        assert check["state"] in ("ok", "note")
        assert check["found"]
        assert bool(check["remedy"]) == (check["state"] == "note")
    assert str(shipped) in result["checks"][4]["found"]
    assert "VIDEOIO" not in error


def test_missing_weights_block_the_server(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tiny_weights: Path,
    tmp_path: Path,
) -> None:
    damaged = tmp_path / "embedded.safetensors"
    damaged.write_bytes(tiny_weights.read_bytes()[:1000])
    monkeypatch.setattr(embedded, "weights_path", lambda: damaged)
    monkeypatch.setattr(doctor_checks, "CAMERA_PROBE", "")
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "problem  model embedded" in shown
    assert "model embedded: install promptmatte again" in shown


def test_notices_a_taken_port(monkeypatch: pytest.MonkeyPatch, shipped: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setattr(doctor_checks, "PORTS", {number: ("test", socket.SOCK_STREAM)})
        monkeypatch.setattr(doctor_checks, "CAMERA_PROBE", "")
        [check] = [c for c in run_checks() if c.name == f"port {number}"]
    assert check.state == "note"
    assert check.found == "test: in use"
    assert check.remedy
