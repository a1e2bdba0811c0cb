"""The picture of a live evaluation: frames of each clip, keyed in several ways side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.commands.demo_panels import GAP_PX, HEADER_PX, PAPER, Pixels, write
from promptmatte.commands.whole_file import whole_file
from promptmatte.evaluation.baselines import Alpha
from promptmatte.evaluation.clip_run import ClipRun
from promptmatte.evaluation.measures import iou

PANEL_WIDTH_PX = 320
COLUMNS = {
    "truth": ("picture, true outline", (255, 255, 255)),
    "stale": ("stale mask", (255, 106, 92)),
    "chain": ("plain chain", (255, 196, 60)),
    "live": ("PromptMatte", (74, 226, 150)),
}
"""Title and colour of each."""

FRAMES_SHOWN = 9
"""Rows in all, shared by the clips; each has one at least."""


class Strip:
    """Collects the rows of a run's clips."""

    def __init__(self, clips: int) -> None:
        self.frames_per_clip = max(1, FRAMES_SHOWN // clips) if clips > 1 else 4
        self._rows: list[Pixels] = []

    def add(self, run: ClipRun) -> None:
        """The frames that a finished run has kept."""
        for seq, alphas in sorted(run.kept.items()):
            self._rows.append(self._row(run, seq, alphas))

    def picture(self) -> Pixels:
        """All rows under the titles, uint8 [H, W, 3] rgb."""
        width = len(COLUMNS) * (PANEL_WIDTH_PX + GAP_PX) + GAP_PX
        header = np.full((HEADER_PX, width, 3), PAPER, np.uint8)
        for column, (title, colour) in enumerate(COLUMNS.values()):
            x = GAP_PX + column * (PANEL_WIDTH_PX + GAP_PX)
            header[HEADER_PX - GAP_PX - 2 : HEADER_PX - GAP_PX, x : x + PANEL_WIDTH_PX] = colour
            write(header, title, (x + 2, 22), 0.55)
        return np.vstack([header, *self._rows])

    def write(self, path: Path) -> None:
        """As a PNG file, whole or not at all; PromptMatteError."""
        bgr = cv2.cvtColor(self.picture(), cv2.COLOR_RGB2BGR)
        with whole_file(path) as partial:
            partial.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())

    def _row(self, run: ClipRun, seq: int, alphas: Mapping[str, Alpha]) -> Pixels:
        frame, truth = run.frames.frame(seq), run.frames.truth(seq)
        height = max(1, round(frame.size_hw[0] * PANEL_WIDTH_PX / frame.size_hw[1]))
        picture = _fitted(frame.pixels, height)
        real = np.asarray(truth.planes.any(axis=0), np.bool_)
        gap = np.full((height, GAP_PX, 3), PAPER, np.uint8)
        row = [gap]
        for name, (_, colour) in COLUMNS.items():
            if name == "truth":
                panel = picture.copy()
                note = f"{run.name}  frame {seq}".encode("ascii", "replace").decode()
                alpha = _fitted(real.astype(np.uint8) * 255, height)
            else:
                whole = alphas[name].max(axis=0)
                alpha = _fitted(whole, height)
                panel = _cut_out(picture, alpha)
                note = f"J {iou((whole >= 128) & truth.known, real):.2f}"
            _outline(panel, alpha, colour)
            write(panel, note, (10, height - 12), 0.5)
            row += [panel, gap]
        row_pixels = np.hstack(row)
        below = np.full((GAP_PX, row_pixels.shape[1], 3), PAPER, np.uint8)
        return np.vstack([row_pixels, below])


def _fitted(pixels: npt.NDArray[np.generic], height: int) -> Pixels:
    size_wh = (PANEL_WIDTH_PX, height)
    enlarges = pixels.shape[1] < PANEL_WIDTH_PX
    way = cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=way), np.uint8)


def _cut_out(picture: Pixels, alpha: Pixels) -> Pixels:
    """The keyed part in its colours; the rest grey and dark."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    ground = cv2.addWeighted(grey, 0.28, np.full_like(grey, PAPER), 0.6, 0)
    share = alpha.astype(np.float32) / 255
    return np.asarray(cv2.blendLinear(picture, ground, share, 1 - share), np.uint8)


def _outline(panel: Pixels, alpha: Pixels, colour: tuple[int, int, int]) -> None:
    solid = (alpha >= 128).astype(np.uint8)
    contours, _ = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(panel, contours, -1, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.drawContours(panel, contours, -1, colour, 1, cv2.LINE_AA)
