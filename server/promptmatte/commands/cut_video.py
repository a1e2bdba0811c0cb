"""Recordings matted off line and written with an alpha channel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError, ModelError, SourceError
from promptmatte.frame import Frame, Matte
from promptmatte.matte.stream import MatteStream
from promptmatte.models.protocol import Model
from promptmatte.prompts import PromptSet

BT709 = 1
LIMITED_RANGE = 1
MIN_TICKS_PER_S = 10_000
"""A clock at least this fine keeps the times of recordings with a variable rate."""

ROUNDED_S = Fraction(1, 1000)
"""Matroska and others round times to this; a time so near to the rate's grid belongs on it."""


@dataclass(frozen=True, kw_only=True)
class AlphaCodec:
    """An encoder that keeps alpha, and the container it goes into."""

    container: str
    encoder: str
    pixel_format: str
    options: dict[str, str]


ALPHA_CODECS = {
    ".mov": AlphaCodec(
        container="mov",
        encoder="prores_ks",
        pixel_format="yuva444p10le",
        options={"profile": "4444", "vendor": "apl0"},
    ),
    ".webm": AlphaCodec(
        container="webm",
        encoder="libvpx-vp9",
        pixel_format="yuva420p",
        options={"crf": "22", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    ),
}
"""By the suffix of the file to write."""


def alpha_codec(path: Path) -> AlphaCodec:
    """The codec for this file's suffix; ConfigError for an unknown or missing one."""
    codec = ALPHA_CODECS.get(path.suffix.lower())
    if codec is None:
        raise ConfigError(
            "expected an output ending in .mov (ProRes 4444) or .webm (VP9) for a video; "
            f"got {path.name!r}"
        )
    if codec.encoder not in av.codecs_available:
        other = next(suffix for suffix, c in ALPHA_CODECS.items() if c is not codec)
        raise ConfigError(
            f"expected PyAV with the encoder {codec.encoder}; it is missing from the installed "
            f"PyAV {av.__version__}: install PyAV from the package registry, or write {other}"
        )
    return codec


class AlphaVideoWriter:
    """Writes pictures with straight alpha to a video file; use as a context manager."""

    def __init__(
        self, path: Path, *, codec: AlphaCodec, size_hw: tuple[int, int], fps: float
    ) -> None:
        rate = Fraction(fps).limit_denominator(1001)
        finer = -(-MIN_TICKS_PER_S // rate.numerator)
        self._time_base = Fraction(1, rate.numerator * finer)
        self._duration = rate.denominator * finer
        self._last_pts = -1
        self._rgba = np.empty((*size_hw, 4), np.uint8)
        self._pixel_format = codec.pixel_format
        self._reformatter = VideoReformatter()
        # file: keeps FFmpeg from reading a protocol into the name.
        self._container = av.open(f"file:{path}", "w", format=codec.container)
        self._stream: Any = self._container.add_stream(
            codec.encoder, rate=rate, options=dict(codec.options)
        )
        self._stream.height, self._stream.width = size_hw
        self._stream.pix_fmt = codec.pixel_format
        context = self._stream.codec_context
        context.time_base = self._time_base
        context.thread_count = 0
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE

    def write(self, frame: Frame, alpha: npt.NDArray[np.uint8]) -> None:
        """Adds an rgb8 frame with its alpha [H, W] at the frame's pts_ns.

        SourceError when the size differs from the first frame's.
        """
        if frame.size_hw != self._rgba.shape[:2]:
            height, width = self._rgba.shape[:2]
            raise SourceError(
                f"expected every frame to be {width}x{height}; frame {frame.info.seq} is "
                f"{frame.size_hw[1]}x{frame.size_hw[0]}: export the video at one size"
            )
        self._rgba[..., :3] = frame.pixels
        self._rgba[..., 3] = alpha
        picture = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(self._rgba, format="rgba"),
            format=self._pixel_format,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        picture.pts = self._last_pts = self._pts(frame.info.pts_ns)
        picture.time_base = self._time_base
        picture.duration = self._duration
        self._container.mux(self._stream.encode(picture))

    def _pts(self, pts_ns: int) -> int:
        """The time in ticks, on the grid of the frame rate if it is near, always rising."""
        pts = round(Fraction(pts_ns, 1_000_000_000) / self._time_base)
        on_grid = round(pts / self._duration) * self._duration
        near = min(ROUNDED_S / self._time_base, Fraction(self._duration, 4))
        return max(self._last_pts + 1, on_grid if abs(on_grid - pts) <= near else pts)

    def __enter__(self) -> AlphaVideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def offline_mattes(
    frames: Iterable[Frame],
    *,
    model: Model,
    prompts: PromptSet,
    config: PipelineConfig,
    controls: Controls,
    keyframe_every: int,
) -> Iterator[tuple[Frame, Matte]]:
    """Every rgb8 frame with its matte; none is dropped, however long encoding takes.

    Every `keyframe_every`-th frame, and the first of each shot, is encoded itself.
    """
    embedding = model.embed(prompts)
    stream = MatteStream(config)
    stream.set_controls(controls)

    def encode(frame: Frame) -> None:
        scene = model.encode(frame)
        stream.anchor(frame.info, model.decode(scene, embedding), prompts)

    for index, frame in enumerate(frames):
        if index % keyframe_every == 0:
            encode(frame)
        matte = stream.step(frame)
        if matte is None:  # a new shot between two keyframes
            stream.reset()
            encode(frame)
            matte = stream.step(frame)
        if matte is None:
            raise ModelError(f"expected a matte of frame {index}, which was encoded; got none")
        yield frame, matte
