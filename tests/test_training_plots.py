"""Plots of a training run: the figures they tell, their size, and that labels can be read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from promptmatte.errors import DataError
from promptmatte.training import plots
from promptmatte.training.plots import TradeOff, loss_curve, reliability, trade_off

WIDTH_PX = 900


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figure that is written last, under "last"."""
    kept: dict[str, Figure] = {}
    write = plots._write

    def keep(figure: Figure, path: Path) -> None:
        kept["last"] = figure
        write(figure, path)

    monkeypatch.setattr(plots, "_write", keep)
    return kept


def size_wh(path: Path) -> tuple[int, int]:
    height, width = cv2.imread(str(path)).shape[:2]
    return width, height


def candidate(name: str, milliseconds: float, quality: float, *, chosen: bool = False) -> TradeOff:
    return TradeOff(
        name=name, milliseconds=milliseconds, quality=quality, chosen=chosen, group=name.split()[0]
    )


def test_the_loss_is_a_running_mean_of_all_steps(tmp_path: Path, figure: dict[str, Figure]) -> None:
    losses = np.linspace(3.0, 1.0, 600) + np.random.default_rng(0).normal(0, 0.3, 600)
    path = tmp_path / "new" / "loss.png"
    loss_curve(list(losses), path)
    assert size_wh(path)[0] == WIDTH_PX
    raw, mean = (np.asarray(line.get_ydata()) for line in figure["last"].axes[0].lines)
    assert len(raw) == 600
    assert len(mean) == 591
    assert mean[0] == pytest.approx(losses[:10].mean())
    assert mean[-1] == pytest.approx(losses[-10:].mean())


@pytest.mark.parametrize("count", [1, 2, 59])
def test_short_runs_are_drawn_too(tmp_path: Path, count: int) -> None:
    loss_curve([0.5] * count, tmp_path / "loss.png")
    assert size_wh(tmp_path / "loss.png")[0] == WIDTH_PX


@pytest.mark.parametrize(
    ("present", "absent", "error"),
    [
        ([1.0] * 5, [0.0] * 7, 0.0),
        ([0.0], [1.0], 1.0),
        ([0.75] * 3, [0.75], 0.0),
        ([0.9, 0.9], [0.2, 0.2], 0.15),
        ([0.05] * 2, [], 0.95),
    ],
)
def test_calibration_error_is_the_mean_distance_of_what_it_says_from_what_is(
    tmp_path: Path, present: list[float], absent: list[float], error: float
) -> None:
    path = tmp_path / "reliability.png"
    assert reliability(present, absent, path) == pytest.approx(error)
    assert size_wh(path)[0] == WIDTH_PX


def test_the_calibration_error_is_written_into_the_picture(
    tmp_path: Path, figure: dict[str, Figure]
) -> None:
    reliability([0.9, 0.9], [0.2, 0.2], tmp_path / "reliability.png")
    texts = [text.get_text() for text in figure["last"].axes[0].texts]
    assert "expected calibration error 0.150" in texts


def test_a_line_a_group_and_a_ring_about_the_chosen(
    tmp_path: Path, figure: dict[str, Figure]
) -> None:
    points = [candidate("b 2", 30, 0.7, chosen=True), candidate("a 1", 10, 0.5),
              candidate("b 1", 20, 0.6)]  # fmt: skip
    trade_off(points, tmp_path / "trade.png")
    assert size_wh(tmp_path / "trade.png")[0] == WIDTH_PX
    axes = figure["last"].axes[0]
    assert [list(np.asarray(line.get_xdata())) for line in axes.lines] == [[10], [20, 30]]
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [[30, 0.7]]


def test_labels_of_a_crowd_do_not_cover_each_other(
    tmp_path: Path, figure: dict[str, Figure]
) -> None:
    points = [
        candidate(f"{name} {side}", ms * (side / 256) ** 2, quality + 0.0004 * (side - 256))
        for name, ms, quality in (("lite0", 22, 0.61), ("lite2", 31, 0.645), ("other", 26, 0.632))
        for side in (256, 320, 384, 448)
    ]
    trade_off(points, tmp_path / "trade.png")
    axes = figure["last"].axes[0]
    boxes = [plots._text_box(text) for text in axes.texts]
    assert len(boxes) == len(points)
    shared = [
        plots._shared(a, b) for i, a in enumerate(boxes) for b in boxes[:i]
        if Bbox.intersection(a, b) is not None
    ]  # fmt: skip
    assert sum(shared) < 0.02 * sum(box.width * box.height for box in boxes)


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="losses"):
        loss_curve([], tmp_path / "a.png")
    with pytest.raises(DataError, match="confidences"):
        reliability([], [], tmp_path / "a.png")
    with pytest.raises(DataError, match="candidates"):
        trade_off([], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
