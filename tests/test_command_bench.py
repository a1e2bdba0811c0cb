"""promptmatte bench: real processes, tiny counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from promptmatte.bench import peers
from promptmatte.bench.contenders import process, worker
from promptmatte.bench.pictures import pictures, there_and_back
from promptmatte.bench.report import Report
from promptmatte.cli import main
from promptmatte.errors import SourceError
from server_testing import promptmatte


def rows_of(text: str) -> list[dict[str, Any]]:
    """The rows of the first table of a report's JSON."""
    table = Report.of(json.loads(text)).tables[0]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_end_to_end_measures_a_server_and_prints_json(sure_weights: Path) -> None:
    done = promptmatte(
        "bench", "end-to-end", "--seconds=1.5", "--warm-up=0.5", "--size=128x72", "--fps=30",
        "--encode-hz=3", f"--weights={sure_weights}", "--device=cpu", "--json=-",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = rows_of(done.stdout)
    assert (row["size"], row["prompts"], row["encode_hz"]) == ("128x72", 1, 3.0)
    assert 0 < row["mattes/s"] < 33
    assert 0 < row["p50 ms"] <= row["p95 ms"] <= row["p99 ms"]
    assert row["keyframes/s"] > 0
    assert row["torn"] == 0
    assert row["server CPU"] != "0%"
    assert row["RSS MB"] > 50
    report = json.loads(done.stdout)
    assert report["command"].startswith("promptmatte bench end-to-end --seconds=1.5")
    assert report["runs"][0]["status"]["errors"] is None


def test_matte_and_model_write_files_and_tables(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for what, options, stages in (
        ("matte", ["--prompts=2"], {"shrink", "edges", "whole step", "chain"}),
        ("model", [f"--weights={tiny_weights}", "--device=cpu"], {"encode", "prompt change"}),
    ):
        file = tmp_path / f"{what}.json"
        assert main(["bench", what, "--rounds=8", "--size=128x72", f"--json={file}", *options]) == 0
        rows = rows_of(file.read_text(encoding="utf-8"))
        assert stages <= {row["stage"] for row in rows}
        assert all(row["p50 ms"] > 0 for row in rows)
        assert "p50 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("links", "--size", "big"), "960x540"),
        (("model", "--size", "64x64", "--size", "32x32"), "one --size"),
        (("matte", "--rounds", "0"), "--rounds above 0"),
        (("end-to-end", "--seconds", "nan"), "--seconds above 0"),
        (("peers", "--only", "nobody"), "--only"),
        (("peers", "--pictures", "nowhere.mp4"), "nowhere.mp4"),
        (("links", "--json", "no/such/folder/x.json"), "folder that exists"),
    ],
)
def test_what_cannot_be_measured_exits_2(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_peer_without_its_library_is_a_row(tmp_path: Path) -> None:
    shown = pictures((64, 96), 2)
    row = dict(zip(peers.COLUMNS, peers.row("RobustVideoMatting", shown, 5.0), strict=True))
    assert "checkout of it on PYTHONPATH" in str(row["note"])
    assert row["mattes/s"] is row["weights"] is None


def test_a_peer_is_measured_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RobustVideoMatting's interface, played by a stand-in that counts its frames."""
    (tmp_path / "model.py").write_text(
        """\
import torch

class MattingNetwork(torch.nn.Module):
    def __init__(self, variant, pretrained_backbone):
        super().__init__()
        assert (variant, pretrained_backbone) == ("mobilenetv3", False)

    def forward(self, frame, r1, r2, r3, r4, downsample_ratio):
        seen = torch.zeros(1) if r1 is None else r1
        assert frame.shape[:2] == (1, 3) and 0 <= frame.min() <= frame.max() <= 1
        alpha = torch.full((1, 1, *frame.shape[2:]), float(seen) / 10)
        return frame, alpha, seen + 1, r2, r3, r4
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shown = pictures((32, 48), 4)
    with process.Contender(process.command_for(["RobustVideoMatting"])) as peer:
        alphas = [peer.answers(picture)["RobustVideoMatting"].alpha for picture in shown]
    assert [round(float(alpha.mean()), 3) for alpha in alphas] == [0, 0.1, 0.2, 0.3]
    row = dict(zip(peers.COLUMNS, peers.row("RobustVideoMatting", shown, 30.0), strict=True))
    assert (row["frames"], row["weights"]) == (3, worker.RANDOM)
    assert row["mattes/s"] > 0
    assert row["peak MB"] > 50
    assert "torch" in str(row["note"])


def test_peers_begin_nothing_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model itself, from its package, frame by frame."""
    shown = pictures((64, 96), 30)
    row = dict(zip(peers.COLUMNS, peers.row(worker_name("every frame"), shown, 1e-6), strict=True))
    assert row["frames"] == 1
    assert row["weights"] == "real, in its package"


def test_the_live_server_is_a_contender() -> None:
    shown = pictures((64, 96), 6)
    row = dict(zip(peers.COLUMNS, peers.row(peers.LIVE, shown, 30.0), strict=True))
    assert (row["frames"], row["note"]) == (5, "with both links")
    assert row["p50 ms"] > 0


def worker_name(part: str) -> str:
    """The contender whose name contains this."""
    (name,) = peers.chosen([part])
    return name


def test_pictures_come_from_a_folder_or_a_file(tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((20, 30, 3), 10 * index, np.uint8))
    found = pictures((10, 16), 2, clip=tmp_path)
    assert [(p.shape, int(p.mean())) for p in found] == [((10, 16, 3), 0), ((10, 16, 3), 10)]
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.mp4").write_bytes(b"no video")
    for clip, said in (("empty", "no frames"), ("not.mp4", "video file")):
        with pytest.raises(SourceError, match=said):
            pictures((10, 16), 2, clip=tmp_path / clip)


def test_a_ring_plays_without_a_cut() -> None:
    frames = [np.full((1, 1, 3), value, np.uint8) for value in range(4)]
    played = [int(there_and_back(frames, index)[0, 0, 0]) for index in range(9)]
    assert played == [0, 1, 2, 3, 2, 1, 0, 1, 2]
