"""Plots of a training run for its card and the README: loss, reliability, speed against quality.

Drawn by matplotlib (extra `train`) without a display. Every function writes one PNG, 900 px wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from promptmatte.errors import DataError

DPI = 150
WIDTH_IN = 6.0
INK, FAINT, GRID = "#24242c", "#8a8a96", "#e4e4ea"
COLOURS = ("#1f77b4", "#d1495b", "#2a9d5c", "#8b5fbf", "#e08e2b", "#5c6b73")
"""Of groups, in the order of their names; begun again after the last."""

PRESENT, ABSENT = COLOURS[0], "#c9ccd6"
BINS = 10
RUNNING_PARTS = 60
"""The running mean is over this part of all steps."""

PLACES = ((9, 0), (-9, 0), (0, 9), (0, -9), (7, 7), (7, -7), (-7, 7), (-7, -7), (0, 22), (0, -22),
          (18, 18), (18, -18), (-18, 18), (-18, -18), (34, 14), (34, -14), (-34, 14), (-34, -14),
          (0, 36), (0, -36))  # fmt: skip
"""Where a label may stand about its point, in typographic points, the best first."""

LINE_STEP_PX = 6.0

Values = npt.NDArray[np.float64]

_THOUSANDS = FuncFormatter(lambda number, _: f"{number:,.0f}")


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """One candidate: CPU milliseconds a picture and quality as mean IoU, 0..1.

    group: candidates joined by a line, e.g. one backbone at several sizes; chosen: ringed.
    """

    name: str
    milliseconds: float
    quality: float
    chosen: bool
    group: str


def loss_curve(losses: Sequence[float], path: Path) -> None:
    """Writes the running mean of the training loss, one loss a step, from the first step on.

    DataError without any losses.
    """
    if not losses:
        raise DataError("expected the losses of a training run; got none")
    values = np.asarray(losses, np.float64)
    window = max(1, len(values) // RUNNING_PARTS)
    mean = np.convolve(values, np.full(window, 1 / window), mode="valid")
    steps = np.arange(len(values)) + 1
    figure = _figure(3.6)
    axes = figure.subplots()
    _plain(axes)
    axes.plot(steps, values, color=COLOURS[0], alpha=0.18, linewidth=0.6)
    axes.plot(steps[window - 1 :], mean, color=COLOURS[0], linewidth=2)
    axes.annotate(
        f"{mean[-1]:.3g}", (steps[-1], mean[-1]), xytext=(0, 7), textcoords="offset points",
        ha="right", va="bottom", fontsize=11, color=INK,
    )  # fmt: skip
    low, high = float(np.percentile(values, 0.5)), float(np.percentile(values, 99.5))
    margin = 0.05 * (high - low) or 0.1
    axes.set_ylim(low - margin, max(high, float(mean.max())) + margin)
    axes.set_xlim(0, len(values))
    axes.set_xlabel("training step")
    axes.set_ylabel(f"loss (mean of {window} steps)" if window > 1 else "loss")
    axes.xaxis.set_major_formatter(_THOUSANDS)
    _write(figure, path)


def reliability(present: Sequence[float], absent: Sequence[float], path: Path) -> float:
    """Writes a reliability diagram of the confidence; returns its expected calibration error.

    present, absent: confidences 0..1 of prompts whose thing is in the picture, and is not. In
    tenths of the confidence: its mean against the share of prompts whose thing is there, and
    how many prompts there are. The error is the mean distance between the two, weighted by
    the counts (Naeini et al. 2015; Guo et al. 2017). DataError without any confidences.
    """
    if not present and not absent:
        raise DataError("expected confidences of prompts; got none")
    there, not_there = (np.asarray(values, np.float64) for values in (present, absent))
    edges = np.linspace(0, 1, BINS + 1)
    counts = np.array([np.histogram(values, edges)[0] for values in (there, not_there)])
    both = counts.sum(axis=0)
    full = both > 0
    everything = np.concatenate([there, not_there])
    sums = np.histogram(everything, edges, weights=everything)[0]
    confidence = sums[full] / both[full]
    share = counts[0][full] / both[full]
    error = float(np.average(np.abs(confidence - share), weights=both[full]))

    figure = _figure(6.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
    for axes in (above, below):
        _plain(axes)
    above.plot((0, 1), (0, 1), color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)))
    above.annotate("says too little", (0.03, 0.93), color=FAINT, fontsize=10)
    above.annotate("says too much", (0.97, 0.04), color=FAINT, fontsize=10, ha="right")
    above.vlines(confidence, confidence, share, color=PRESENT, alpha=0.3, linewidth=5)
    above.plot(confidence, share, "o-", color=PRESENT, markersize=7, linewidth=2, clip_on=False)
    above.annotate(
        f"expected calibration error {error:.3f}", (0.5, 1.02), xycoords="axes fraction",
        ha="center", va="bottom", fontsize=12, color=INK,
    )  # fmt: skip
    above.set_ylabel("share of prompts whose thing is there")
    above.set_ylim(0, 1)
    middles, width = edges[:-1] + 0.5 / BINS, 0.42 / BINS
    for values, colour, side, name in (
        (counts[0], PRESENT, -0.5, f"thing is there ({len(there):,})"),
        (counts[1], ABSENT, 0.5, f"thing is not there ({len(not_there):,})"),
    ):
        below.bar(middles + side * width, values, width, color=colour, label=name)
    below.set_xlim(0, 1)
    below.set_xticks(edges)
    below.set_ylabel("prompts")
    below.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    below.yaxis.set_major_formatter(_THOUSANDS)
    below.set_xlabel("confidence")
    below.legend(frameon=False, fontsize=10, loc="upper center")
    _write(figure, path)
    return error


def trade_off(points: Sequence[TradeOff], path: Path) -> None:
    """Writes quality against CPU time: a line a group, in order of time, the chosen ringed.

    DataError without any points.
    """
    if not points:
        raise DataError("expected candidates to compare; got none")
    figure = _figure(4.2)
    axes = figure.subplots()
    _plain(axes)
    ordered = sorted(points, key=lambda p: (p.group, p.milliseconds))
    colours: dict[str, str] = {}
    for index, (group, members) in enumerate(groupby(ordered, key=lambda p: p.group)):
        own = list(members)
        colours[group] = COLOURS[index % len(COLOURS)]
        axes.plot(
            [p.milliseconds for p in own], [p.quality for p in own], "o-",
            color=colours[group], markersize=6, linewidth=1.8, label=group,
        )  # fmt: skip
    chosen = [p for p in ordered if p.chosen]
    if chosen:
        axes.scatter(
            [p.milliseconds for p in chosen], [p.quality for p in chosen], s=210,
            facecolors="none", edgecolors=INK, linewidths=1.8, zorder=3, label="chosen",
        )  # fmt: skip
    axes.margins(0.16, 0.16)
    axes.set_xlim(left=0)
    axes.set_xlabel("CPU time a picture (ms)")
    axes.set_ylabel("mean IoU")
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=10)
    _label(figure, axes, ordered, colours)
    _write(figure, path)


def _label(figure: Figure, axes: Axes, points: Sequence[TradeOff], colours: dict[str, str]) -> None:
    """Names the points, each at the place about it that covers least of what is there."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # or the labels would move what they were placed by
    frame = axes.get_window_extent()
    spots = axes.transData.transform([(p.milliseconds, p.quality) for p in points])
    taken = _drawn(spots, points)
    for point, spot in zip(points, spots, strict=True):
        note = axes.annotate(
            point.name, (point.milliseconds, point.quality), xytext=PLACES[0],
            textcoords="offset points", fontsize=10, color=colours[point.group],
            fontweight="bold" if point.chosen else "normal",
            arrowprops={"arrowstyle": "-", "color": colours[point.group], "alpha": 0.6,
                        "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4},
        )  # fmt: skip
        size = np.asarray(_text_box(note).size, np.float64)
        boxes = [_box_at(spot, size, place) for place in PLACES]
        covered = [
            4 * (box.width * box.height - _shared(box, frame))
            + sum(_shared(box, other) for other in taken)
            for box in boxes
        ]
        best = int(np.argmin(covered))
        _move(note, PLACES[best])
        taken.append(boxes[best])


def _box_at(spot: Values, size: Values, place: tuple[float, float]) -> Bbox:
    """The box of a label of a size in pixels where `_move` would put it about a spot."""
    corner = spot + np.multiply(place, DPI / 72) + (np.sign(place) - 1) / 2 * size
    return Bbox.from_bounds(*corner, *size)


def _drawn(spots: Values, points: Sequence[TradeOff]) -> list[Bbox]:
    """Boxes in pixels over the markers and along the lines between those of a group.

    spots: where the points are, float64 [N, 2] in pixels.
    """
    boxes = [Bbox.from_bounds(x - 9, y - 9, 18, 18) for x, y in spots]
    for index in range(1, len(points)):
        if points[index].group == points[index - 1].group:
            start, end = spots[index - 1], spots[index]
            count = max(2, int(np.hypot(*(end - start)) / LINE_STEP_PX))
            boxes += [
                Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in np.linspace(start, end, count)
            ]
    return boxes


def _move(note: Annotation, place: tuple[float, float]) -> None:
    """Puts a label at an offset from its point, on the side that the offset says."""
    x, y = place
    note.set_position(place)
    note.set_horizontalalignment("left" if x > 0 else "right" if x < 0 else "center")
    note.set_verticalalignment("bottom" if y > 0 else "top" if y < 0 else "center")


def _text_box(note: Annotation) -> Bbox:
    """The box of a label's letters, without its arrow, in pixels."""
    note.get_window_extent()  # puts the letters where the offset says
    return Text.get_window_extent(note)


def _shared(one: Bbox, other: Bbox) -> float:
    """Area that two boxes have in common, in square pixels."""
    common = Bbox.intersection(one, other)
    return 0.0 if common is None else float(common.width * common.height)


def _figure(height_in: float) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    """Axes with a faint grid and no box, in letters that a README can show."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=10, labelcolor=INK, color=FAINT)
    axes.xaxis.label.set(size=12, color=INK)
    axes.yaxis.label.set(size=12, color=INK)


def _write(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
