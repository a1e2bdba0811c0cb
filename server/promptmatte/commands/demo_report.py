"""The demo's files: demo.mp4, contact-sheet.png and report.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from promptmatte.commands.demo_panels import Panels, Pixels
from promptmatte.commands.demo_reader import ReaderCounts
from promptmatte.commands.demo_record import Records, panel_hw, shrunk, solid_of
from promptmatte.commands.demo_replay import Replay
from promptmatte.commands.whole_file import whole_file
from promptmatte.evaluation import iou

SHEET_ROWS = 6
TIME_BASE = Fraction(1, 90_000)
ENCODERS = {
    "libx264": {"crf": "19", "preset": "veryfast"},
    "mpeg4": {"qscale": "3"},
}


class DemoFiles:
    """Makes video and contact sheet of the records in one pass, and measures on the way."""

    def __init__(
        self,
        folder: Path,
        *,
        records: Records,
        size_hw: tuple[int, int],
        replay: Replay,
        prompt: str,
    ) -> None:
        self.video = folder / "demo.mp4"
        self.sheet = folder / "contact-sheet.png"
        self._records = records
        self._size_hw = size_hw
        self._replay = replay
        self._thing = prompt.casefold()
        self._panels = Panels(panel_hw(size_hw), prompt=prompt)
        self._ious: list[float] = []

    @property
    def miou(self) -> float | None:
        """Mean IoU over the mattes of pictures that show the thing; None if none is known."""
        return round(float(np.mean(self._ious)), 4) if self._ious else None

    def write(self, progress: Iterable[Any]) -> None:
        """Writes video and contact sheet.

        progress: the records, perhaps wrapped by something that watches them go by.
        """
        count = len(self._records)
        chosen = {int((row + 0.5) * count / SHEET_ROWS) for row in range(SHEET_ROWS)}
        rows: list[tuple[float, tuple[Pixels, Pixels, Pixels]]] = []
        with whole_file(self.video) as partial:
            _write_video(partial, self._strips(progress, chosen, rows), self._panels.size_hw)
        with whole_file(self.sheet) as partial:
            bgr = cv2.cvtColor(self._panels.sheet(rows), cv2.COLOR_RGB2BGR)
            partial.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())

    def _strips(
        self, records: Iterable[Any], chosen: set[int], rows: list[Any]
    ) -> Iterator[tuple[Pixels, int]]:
        """Each frame of the video and its pts_ns; adds the chosen rows of the sheet."""
        first_ns = int(self._records[0]["pts_ns"])
        for index, record in enumerate(records):
            picture = self._replay.picture(int(record["seq"]))
            if picture.shape[:2] == self._size_hw:
                self._measure(record)
            pts_ns = int(record["pts_ns"]) - first_ns
            row = self._panels.row(
                shrunk(picture, self._panels.size_hw), np.array(record["alpha"]), pts_ns / 1e9
            )
            if index in chosen:
                rows.append((pts_ns / 1e9, row))
            note = f"confidence {record['confidence']:.2f}  keyframe {record['age_ms']:.0f} ms old"
            yield self._panels.strip(row, note), pts_ns

    def _measure(self, record: Any) -> None:
        truth = self._replay.truth(int(record["seq"]), self._thing)
        if truth is not None and truth.any():
            self._ious.append(iou(solid_of(record, self._size_hw), truth))


def _write_video(
    path: Path, pictures: Iterable[tuple[Pixels, int]], panel_size_hw: tuple[int, int]
) -> None:
    encoder = next(name for name in ENCODERS if name in av.codecs_available)
    with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream: Any = container.add_stream(encoder, rate=30, options=ENCODERS[encoder])
        stream.height, stream.width = panel_size_hw[0], 3 * panel_size_hw[1]
        stream.pix_fmt = "yuv420p"
        if encoder == "libx264":
            stream.codec_context.time_base = TIME_BASE
        time_base = stream.codec_context.time_base or Fraction(1, 30)
        last_pts = -1
        for picture, pts_ns in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            last_pts = max(last_pts + 1, round(Fraction(pts_ns, 1_000_000_000) / time_base))
            frame.pts, frame.time_base = last_pts, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def report_of(status: dict[str, Any], counts: ReaderCounts, miou: float | None) -> dict[str, Any]:
    """The report of a run; source_size is [width, height].

    status: the server's last one, in which every frame is a matte or a counted drop.
    """
    return {
        "model": status["model"],
        "device": status["device"],
        "source_size": status["size"][::-1] if status["size"] else None,
        "frames_in": status["frames_in"],
        "mattes_out": status["mattes_out"],
        "matte_fps": status["matte_fps"],
        "keyframe_hz": status["keyframe_hz"],
        "latency_ms": status["latency_ms"],
        "dropped": status["dropped"],
        "miou": miou,
        "reader": {"frames": counts.frames, "torn": counts.torn, "stale": counts.stale},
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Writes the report as JSON."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(report, indent=1), encoding="utf-8")
