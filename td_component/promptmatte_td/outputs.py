"""What the component shows: the newest matte with its own picture. Cooking thread only."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np

from promptmatte_td.pictures import Shown
from promptmatte_td.pixels import Bytes

EMPTY, FULL, HOLD = "empty", "full", "hold"
RGBA = ("red", "green", "blue", "alpha")
DELAYED, LIVE = 0, 1
CUT_OUT, FOREGROUND = 0, 1
RATE_OVER_S = 1.0


def _plane(value: int) -> Bytes:
    return np.full((1, 1, 1), value, np.uint8)


class Outputs:
    """Keeps what is shown and uploads it when the Script TOPs cook."""

    def __init__(self, component: Any) -> None:
        self._component = component
        self._tops = {
            name: component.op(name) for name in ("script_matte", "script_picture",
                                                  "script_foreground")
        }  # fmt: skip
        self._shown: Shown | None = None
        self._alpha = _plane(0)
        self._lost = True
        self._shown_at_s = time.monotonic()
        self._times: deque[float] = deque(maxlen=256)
        self._reordered = ""
        self.latency_ms = 0.0
        self.delay_frames = 0

    @property
    def shown(self) -> Shown | None:
        """The matte shown last, if there was any."""
        return self._shown

    @property
    def fps(self) -> float:
        """Mattes shown in the last second."""
        since_s = time.monotonic() - RATE_OVER_S
        while self._times and self._times[0] < since_s:
            self._times.popleft()
        return len(self._times) / RATE_OVER_S

    def show(self, shown: Shown, *, frame: int) -> None:
        """Shows a matte, its picture and its foreground from this frame on."""
        self._shown, self._alpha, self._lost = shown, shown.alpha, False
        self._shown_at_s = time.monotonic()
        self._times.append(self._shown_at_s)
        if shown.drawn_at >= 0:
            self.delay_frames = frame - shown.drawn_at
            self.latency_ms = (time.monotonic_ns() - shown.info.captured_ns) / 1e6
        self._switch("switch_picture", DELAYED if shown.picture is not None else LIVE)
        self._switch("switch_composite", CUT_OUT if shown.foreground is None else FOREGROUND)
        self._cook("script_matte")
        if shown.picture is not None:
            self._cook("script_picture")
        if shown.foreground is not None:
            self._cook("script_foreground")

    def look(self, *, when_lost: str, lost_s: float) -> None:
        """Shows what a person chose for when mattes stop, once none has come for lost_s."""
        if self._lost or when_lost == HOLD or time.monotonic() - self._shown_at_s < lost_s:
            return
        self._lost = True
        self._alpha = _plane(255 if when_lost == FULL else 0)
        self._switch("switch_picture", LIVE)
        self._switch("switch_composite", CUT_OUT)
        self._cook("script_matte")

    def composite_from(self, place: str) -> None:
        """Whose matte cuts out the composite, "1" to "4"."""
        channel = RGBA[int(place) - 1]
        if self._alpha.shape[2] == 1 and place != "1" and not self._lost:
            channel = "zero"
        elif self._alpha.shape[2] == 1:
            channel = "red"
        if channel != self._reordered:
            self._reordered = channel
            reorder = self._component.op("reorder_alpha")
            for output in RGBA:
                reorder.par[f"output{output}chan"] = channel

    def cook_matte(self, top: Any) -> None:
        """Uploads the alpha."""
        top.copyNumpyArray(self._alpha)

    def cook_picture(self, top: Any) -> None:
        """Uploads the matte's own frame."""
        shown = self._shown
        if shown is not None and shown.picture is not None:
            top.copyNumpyArray(shown.picture)

    def cook_foreground(self, top: Any) -> None:
        """Uploads the foreground that the server cut out."""
        shown = self._shown
        if shown is not None and shown.foreground is not None:
            top.copyNumpyArray(shown.foreground)

    def _cook(self, name: str) -> None:
        self._tops[name].cook(force=True)

    def _switch(self, name: str, index: int) -> None:
        switch = self._component.op(name)
        if switch.par.index != index:
            switch.par.index = index
