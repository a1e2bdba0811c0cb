"""Video files with straight alpha: ProRes 4444 and VP9."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from promptmatte.errors import ConfigError, SourceError
from promptmatte.recording.raw_file import RawFile

BT709 = 1
LIMITED_RANGE = 1
MIN_TICKS_PER_S = 10_000
"""A clock at least this fine keeps the times of recordings with a variable rate."""

ROUNDED_S = Fraction(1, 1000)
"""Matroska and others round times to this; a time so near to the rate's grid belongs on it."""

NOMINAL_FPS = 30.0
"""What a file says of its rate when that is not known; its frames have their own times."""

FRAGMENT_MS = 500
"""A live file on disk lags at most this far behind, and loses no more by a kill."""


@dataclass(frozen=True, kw_only=True)
class AlphaCodec:
    """An encoder that keeps alpha, and the container it goes into."""

    container: str
    encoder: str
    pixel_format: str
    options: Mapping[str, str]
    container_options: Mapping[str, str] = field(default_factory=dict)


_PRORES = {"profile": "4444", "vendor": "apl0"}

ALPHA_CODECS = {
    ".mov": AlphaCodec(
        container="mov", encoder="prores_ks", pixel_format="yuva444p10le", options=_PRORES
    ),
    ".webm": AlphaCodec(
        container="webm",
        encoder="libvpx-vp9",
        pixel_format="yuva420p",
        options={"crf": "22", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    ),
}
"""For work off line, by the suffix of the file to write."""

LIVE_CODECS = {
    ".mov": AlphaCodec(
        container="mov",
        encoder="prores_ks",
        pixel_format="yuva444p10le",
        options=_PRORES,
        container_options={
            "movflags": "hybrid_fragmented",  # an ordinary file once it is closed
            "frag_duration": str(1000 * FRAGMENT_MS),
            "flush_packets": "1",
        },
    ),
    ".webm": AlphaCodec(
        container="webm",
        encoder="libvpx-vp9",
        pixel_format="yuva420p",
        options={
            "crf": "22", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1",
            "lag-in-frames": "0", "auto-alt-ref": "0", "g": "60",
        },
        container_options={"cluster_time_limit": str(FRAGMENT_MS), "flush_packets": "1"},
    ),
}  # fmt: skip
"""For recordings while the mattes go on: as fast as it goes, and playable up to the last
fragment whatever ends them."""


def alpha_codec(path: Path, codecs: Mapping[str, AlphaCodec] = ALPHA_CODECS) -> AlphaCodec:
    """The codec for this file's suffix; ConfigError for an unknown or missing one."""
    codec = codecs.get(path.suffix.lower())
    if codec is None:
        raise ConfigError(
            "expected an output ending in .mov (ProRes 4444) or .webm (VP9) for a video; "
            f"got {path.name!r}"
        )
    if codec.encoder not in av.codecs_available:
        other = next(suffix for suffix, c in codecs.items() if c is not codec)
        raise ConfigError(
            f"expected PyAV with the encoder {codec.encoder}; it is missing from the installed "
            f"PyAV {av.__version__}: install PyAV from the package registry, or write {other}"
        )
    return codec


class AlphaVideoWriter:
    """Writes pictures with straight alpha to a video file; use as a context manager, or
    close() or abandon() it."""

    def __init__(
        self,
        target: Path | RawFile,
        *,
        codec: AlphaCodec,
        size_hw: tuple[int, int],
        fps: float | None,
        threads: int = 0,
    ) -> None:
        """target: a path, which is overwritten, or an open file, which is closed in the end.
        fps: times near its grid are put on it; None keeps them as they are. threads: of the
        encoder; 0 for as many as there are processors."""
        self._is_regular = fps is not None
        rate = Fraction(NOMINAL_FPS if fps is None else fps).limit_denominator(1001)
        finer = -(-MIN_TICKS_PER_S // rate.numerator)
        self.size_hw = size_hw
        self._time_base = Fraction(1, rate.numerator * finer)
        self._duration = rate.denominator * finer
        self._last_pts = -1
        self._pixel_format = codec.pixel_format
        self._reformatter = VideoReformatter()
        self._file = target if isinstance(target, RawFile) else None
        self._container = av.open(
            # file: keeps FFmpeg from reading a protocol into the name.
            target if isinstance(target, RawFile) else f"file:{target}",
            "w",
            format=codec.container,
            container_options=dict(codec.container_options),
        )
        self._stream: Any = self._container.add_stream(
            codec.encoder, rate=rate, options=dict(codec.options)
        )
        self._stream.height, self._stream.width = size_hw
        self._stream.pix_fmt = codec.pixel_format
        context = self._stream.codec_context
        context.time_base = self._time_base
        context.thread_count = threads
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE

    def write(self, rgba: npt.NDArray[np.uint8], pts_ns: int) -> None:
        """Adds a picture, contiguous uint8 [H, W, 4], which is free again afterwards.

        SourceError when the size differs from the first one's.
        """
        if rgba.shape[:2] != self.size_hw:
            (height, width), got = self.size_hw, rgba.shape
            raise SourceError(
                f"expected every frame to be {width}x{height}; one is {got[1]}x{got[0]}: "
                "export the video at one size"
            )
        picture = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(rgba, format="rgba"),
            format=self._pixel_format,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        picture.pts = self._last_pts = self._pts(pts_ns)
        picture.time_base = self._time_base
        picture.duration = self._duration
        self._container.mux(self._stream.encode(picture))

    def _pts(self, pts_ns: int) -> int:
        """The time in ticks, on the grid of a known rate if it is near, always rising."""
        pts = round(Fraction(pts_ns, 1_000_000_000) / self._time_base)
        if not self._is_regular:
            return max(self._last_pts + 1, pts)
        on_grid = round(pts / self._duration) * self._duration
        near = min(ROUNDED_S / self._time_base, Fraction(self._duration, 4))
        return max(self._last_pts + 1, on_grid if abs(on_grid - pts) <= near else pts)

    def close(self) -> None:
        """Writes what the encoder still holds and what makes the file seekable."""
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leaves the file as it is; safe to call twice."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()  # first, so that no index is written for what is not there
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def __enter__(self) -> AlphaVideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()
