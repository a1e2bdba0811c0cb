"""A picture or video file cut out by prompts: the engine of `promptmatte cut` and of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.commands.cut_best import best_mattes
from promptmatte.commands.cut_video import offline_mattes
from promptmatte.commands.whole_file import whole_file
from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.frame import Frame, Matte
from promptmatte.prompts import PromptSet
from promptmatte.recording.alpha_video import AlphaVideoWriter, alpha_codec
from promptmatte.recording.pictures import paint_cut_out
from promptmatte.sources.video import probe_video, read_video

if TYPE_CHECKING:
    from promptmatte.models.protocol import Model

QUALITIES = ("fast", "best")

Told = Callable[[int, int], None]
"""Told how many frames are done, of how many (0: unknown); what it raises ends the cut."""


class Cutter:
    """Cuts out one set of prompts.

    model: called when it is needed, after the file was looked at. quality: fast, as live, or
    best, see cut_best. confidence: the highest of each prompt so far.
    """

    def __init__(
        self,
        *,
        model: Callable[[], Model],
        prompts: PromptSet,
        controls: Controls,
        quality: str = "fast",
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._controls = controls
        self._quality = quality
        self.confidence = [0.0] * len(prompts.prompts)

    def picture(self, picture: Frame) -> tuple[Frame, Matte]:
        """The rgb8 picture with the colours to write, and its matte."""
        return next(self._mattes([picture], keyframe_every=1))

    def video(self, source: Path, output: Path, *, told: Told) -> None:
        """Writes a video with alpha, frame for frame; ConfigError or SourceError for files that
        cannot be used. Nothing is left of an output that was not finished."""
        codec = alpha_codec(output)
        info = probe_video(source)
        with (
            whole_file(output) as partial,
            AlphaVideoWriter(partial, codec=codec, size_hw=info.size_hw, fps=info.fps) as writer,
        ):
            every = max(1, round(info.fps / self._controls.stream.encode_hz))
            mattes = self._mattes(read_video(source), keyframe_every=every)
            rgba = np.empty((*info.size_hw, 4), np.uint8)
            for done, (frame, matte) in enumerate(mattes, start=1):
                paint_cut_out(frame, matte, rgba)
                writer.write(rgba, frame.info.pts_ns)
                told(done, info.frames)

    def _mattes(
        self, frames: Iterable[Frame], *, keyframe_every: int
    ) -> Iterator[tuple[Frame, Matte]]:
        mattes = best_mattes if self._quality == "best" else offline_mattes
        for frame, matte in mattes(
            frames,
            model=self._model(),
            prompts=self._prompts,
            config=PipelineConfig(correction_hz=math.inf),
            controls=self._controls,
            keyframe_every=keyframe_every,
        ):
            pairs = zip(self.confidence, matte.confidence, strict=True)
            self.confidence = [max(pair) for pair in pairs]
            yield frame, matte


def rgba_png(picture: Frame, alpha: npt.NDArray[np.generic]) -> bytes:
    """A PNG of an rgb8 picture with straight alpha, uint8 [H, W]."""
    bgra = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGRA)
    bgra[..., 3] = alpha
    return bytes(cv2.imencode(".png", bgra)[1])
