"""The demo's pictures: picture, matte and composite side by side, and the contact sheet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.commands.demo_record import shrunk

Pixels = npt.NDArray[np.uint8]

INK = (236, 236, 240)
PAPER = (17, 17, 22)
GAP_PX = 8
SHEET_PANEL_WIDTH_PX = 400
HEADER_PX = 40
BACKDROP = ((13, 11, 28), (168, 24, 92), (4, 98, 132))
"""RGB of the dark ground and of the two lights that wander over it."""


class Panels:
    """Rows of three panels of one size."""

    def __init__(self, size_hw: tuple[int, int], *, prompt: str) -> None:
        self.size_hw = size_hw
        self._titles = ("picture", f'matte of "{_ascii(prompt)}"', "composite")
        height, width = size_hw
        rows, columns = np.mgrid[: height // 4, : width // 4].astype(np.float32)
        self._grid = (columns * 4 / width, rows * 4 / width)

    def row(self, picture: Pixels, alpha: Pixels, time_s: float) -> tuple[Pixels, Pixels, Pixels]:
        """Picture, matte and composite as uint8 [h, w, 3].

        picture: [h, w, 3], alpha: [h, w], both of the panels' size.
        """
        share = alpha.astype(np.float32) / 255
        composite = cv2.blendLinear(picture, self.backdrop(time_s), share, 1 - share)
        return picture, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), np.asarray(composite, np.uint8)

    def backdrop(self, time_s: float) -> Pixels:
        """The ground of the composite at a time, uint8 [h, w, 3]."""
        ground, *lights = (np.array(colour, np.float32) for colour in BACKDROP)
        x, y = self._grid
        picture = np.broadcast_to(ground, (*x.shape, 3)).copy()
        for turn, light in zip((0.0, 2.6), lights, strict=True):
            centre_x = 0.5 + 0.42 * np.sin(0.7 * time_s + turn)
            centre_y = 0.28 + 0.2 * np.cos(0.9 * time_s + 2 * turn)
            glow = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / 0.07)
            picture += glow[..., None] * light
        height, width = self.size_hw
        return np.asarray(
            cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255),
            np.uint8,
        )

    def strip(self, row: Sequence[Pixels], note: str) -> Pixels:
        """The panels side by side with their titles, and a note in the matte's corner."""
        height, width = self.size_hw
        strip = np.ascontiguousarray(np.hstack(row))
        for index, title in enumerate(self._titles):
            write(strip, title, (index * width + 10, 22), 0.5)
        write(strip, note, (width + 10, height - 12), 0.42)
        return strip

    def sheet(self, rows: Sequence[tuple[float, Sequence[Pixels]]]) -> Pixels:
        """All the rows, each given with its time in seconds, under the panels' titles."""
        width = min(SHEET_PANEL_WIDTH_PX, self.size_hw[1])
        height = round(self.size_hw[0] * width / self.size_hw[1])
        sheet = np.full(
            (
                HEADER_PX + len(rows) * (height + GAP_PX),
                GAP_PX + len(self._titles) * (width + GAP_PX),
                3,
            ),
            PAPER,
            np.uint8,
        )
        for column, title in enumerate(self._titles):
            x = GAP_PX + column * (width + GAP_PX)
            write(sheet, title, (x + 2, 27), 0.6)
            for index, (_, row) in enumerate(rows):
                y = HEADER_PX + index * (height + GAP_PX)
                sheet[y : y + height, x : x + width] = shrunk(row[column], (height, width))
        for index, (time_s, _) in enumerate(rows):
            y = HEADER_PX + index * (height + GAP_PX)
            write(sheet, f"{time_s:.1f} s", (GAP_PX + 8, y + height - 10), 0.45)
        return sheet


def write(picture: Pixels, text: str, at: tuple[int, int], scale: float) -> None:
    """Light text with a dark shadow, so that it shows on anything."""
    for colour, shift in (((0, 0, 0), 1), (INK, 0)):
        corner = (at[0] + shift, at[1] + shift)
        cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_DUPLEX, scale, colour, 1, cv2.LINE_AA)


def _ascii(text: str) -> str:
    """OpenCV's font has no other letters."""
    return text.encode("ascii", "replace").decode()
