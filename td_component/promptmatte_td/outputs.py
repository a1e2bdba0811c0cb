"""What the component shows: the newest matte with its own picture. Cooking thread only."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np

from promptmatte_td.fast_paths import KeptImage
from promptmatte_td.network import RGBA
from promptmatte_td.pictures import Shown
from promptmatte_td.pixels import Bytes

EMPTY, FULL, HOLD = "empty", "full", "hold"
DELAYED, LIVE = 0, 1
CUT_OUT, FOREGROUND = 0, 1
RATE_OVER_S = 1.0


def _plane(value: int, size_hw: tuple[int, ...]) -> Bytes:
    return np.full((*size_hw, 1), value, np.uint8)


class Outputs:
    """Keeps what is shown and uploads it when the Script TOPs cook."""

    def __init__(self, component: Any) -> None:
        self._component = component
        self._tops = {
            name: component.op(name) for name in ("script_matte", "script_picture",
                                                  "script_foreground")
        }  # fmt: skip
        self._shown: Shown | None = None
        self._image: KeptImage | None = None
        self._alpha = _plane(0, (1, 1))
        self._lost = True
        self._shown_at_s = time.monotonic()
        self._times: deque[float] = deque(maxlen=256)
        self._reordered = ""
        self._switched: dict[str, int] = {}
        self.latency_ms = 0.0
        self._drawn_at = -1

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

    def delay_frames(self, frame: int) -> int:
        """How many frames ago the picture that is shown was the input; 0 while it is live."""
        return 0 if self._lost or self._drawn_at < 0 else frame - self._drawn_at

    def show(self, shown: Shown, *, image: KeptImage | None = None) -> None:
        """Shows a matte, its picture and its foreground from now on.

        image: the matte's frame where it was kept on the card.
        """
        self._shown, self._alpha, self._image, self._lost = shown, shown.alpha, image, False
        self._shown_at_s = time.monotonic()
        self._times.append(self._shown_at_s)
        drawn_at = image.drawn_at if image is not None else shown.drawn_at
        self._drawn_at = drawn_at
        if drawn_at >= 0:
            self.latency_ms = (time.monotonic_ns() - shown.info.captured_ns) / 1e6
        delayed = shown.picture is not None or image is not None
        self._switch("switch_picture", DELAYED if delayed else LIVE)
        self._switch("switch_composite", CUT_OUT if shown.foreground is None else FOREGROUND)
        self._cook("script_matte")
        if delayed:
            self._cook("script_picture")
        if shown.foreground is not None:
            self._cook("script_foreground")

    def look(self, *, when_lost: str, lost_s: float, still: bool) -> None:
        """Shows what a person chose for when mattes stop, once none has come for lost_s.

        still: no matte is to be expected, so that none is lost.
        """
        if self._lost or still or when_lost == HOLD:
            return
        if time.monotonic() - self._shown_at_s < lost_s:
            return
        self._lost = True
        self._alpha = _plane(255 if when_lost == FULL else 0, self._alpha.shape[:2])
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
        if self._image is not None:
            image = self._image.image
            top.copyCUDAMemory(image.ptr, image.size, image.shape)
        elif self._shown is not None and self._shown.picture is not None:
            top.copyNumpyArray(self._shown.picture)

    def cook_foreground(self, top: Any) -> None:
        """Uploads the foreground that the server cut out."""
        shown = self._shown
        if shown is not None and shown.foreground is not None:
            top.copyNumpyArray(shown.foreground)

    def _cook(self, name: str) -> None:
        self._tops[name].cook(force=True)

    def _switch(self, name: str, index: int) -> None:
        if self._switched.get(name) != index:
            self._switched[name] = index
            self._component.op(name).par.index = index
