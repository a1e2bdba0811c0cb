"""Video files, read in real time or as fast as they decode."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from promptmatte.clock import Clock
from promptmatte.errors import SourceEnded, SourceError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.sources.pacing import Pacer, Stamper
from promptmatte.sources.picture_size import MAX_PIXELS, check_pixels

logger = logging.getLogger(__name__)

FALLBACK_FPS = 30.0
MAX_DECODE_ERRORS = 200
"""Errors in a row after which the rest of a file is given up."""

MAX_GAP_NS = 10_000_000_000
"""A longer pause between two frames is taken for a damaged time."""

Picture = tuple[npt.NDArray[np.uint8], int]
"""rgb8 pixels [H, W, 3] and pts_ns."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file says of itself: size as shown, frames a second, frames (0: unknown)."""

    size_hw: tuple[int, int]
    fps: float
    frames: int


class Timeline:
    """Presentation times that always move on, whatever the file says."""

    def __init__(self, fps: float) -> None:
        self._period_ns = round(1e9 / fps)
        self._last_ns: int | None = None
        self._offset_ns: int | None = None

    def next_ns(self, pts_ns: int | None) -> int:
        """The frame's time from 0; one frame after the last when its own makes no sense."""
        expected_ns = 0 if self._last_ns is None else self._last_ns + self._period_ns
        time_ns = expected_ns
        if pts_ns is not None:
            if self._offset_ns is None or abs(pts_ns + self._offset_ns - expected_ns) > MAX_GAP_NS:
                self._offset_ns = expected_ns - pts_ns
            time_ns = pts_ns + self._offset_ns
        if self._last_ns is not None and time_ns <= self._last_ns:
            time_ns = expected_ns
        self._last_ns = time_ns
        return time_ns

    def restart(self) -> None:
        """The file begins anew: its next time follows the last one."""
        self._offset_ns = None


class VideoDecoder:
    """The pictures of one opened file or stream, in order.

    `damaged` counts packets that could not be decoded; they are skipped, and so are pictures
    of more than MAX_PIXELS. Raises SourceError when it cannot be opened, holds no video or says
    that its pictures are larger.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        options: dict[str, str] | None = None,
        timeout_s: tuple[float, float] | None = None,
        threads: str = "AUTO",
    ) -> None:
        self.damaged = 0
        self._name = name
        try:
            self._container = av.open(
                address, options=options or {}, timeout=timeout_s, metadata_errors="replace"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(
                f"cannot open {name} as video: {_reason(error)}; "
                "check the address and that it plays elsewhere"
            ) from None
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"expected a video in {name}; got a file without a picture stream")
        self._stream = self._container.streams.video[0]
        try:
            self._limit_pixels()
        except SourceError as error:
            self._container.close()
            raise SourceError(f"in {name}: {error}") from None
        self._stream.thread_type = threads
        self._reformatter = VideoReformatter()
        self.fps = _frame_rate(self._stream)
        self._timeline = Timeline(self.fps)

    def _limit_pixels(self) -> None:
        """SourceError for pictures that are too large; what the head says is not what the
        pictures have to be, so the decoder is told too."""
        codec = self._stream.codec_context
        if codec is None:
            raise SourceError("expected a video that FFmpeg can decode; got one of another kind")
        check_pixels(codec.width, codec.height)
        codec.options = {"max_pixels": str(MAX_PIXELS)}

    @property
    def format_name(self) -> str:
        """FFmpeg's name of the container, e.g. mov,mp4 or hls."""
        return str(self._container.format.name)

    @property
    def has_duration(self) -> bool:
        """Whether the end is known: a recording, not something live."""
        return bool(self._container.duration)

    @property
    def frames(self) -> int:
        """Frames in the file as far as it tells; 0 when unknown."""
        if self._stream.frames:
            return int(self._stream.frames)
        duration_s = float(self._container.duration or 0) / float(av.time_base)
        return round(duration_s * self.fps)

    def pictures(self) -> Iterator[Picture]:
        """Every picture from here to the end."""
        errors = 0
        packets = self._container.demux(self._stream)
        while errors < MAX_DECODE_ERRORS:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.InvalidDataError, IndexError) as error:
                # IndexError: PyAV meets a stream that damaged data made up.
                errors = self._count_damage(errors, error)
                packets = self._container.demux(self._stream)
                continue
            except (av.FFmpegError, OSError) as error:
                raise SourceError(
                    f"{self._name} was cut off: {_reason(error)}; check the file or the sender"
                ) from None
            try:
                decoded = packet.decode()
            except av.FFmpegError as error:
                errors = self._count_damage(errors, error)
                continue
            for frame in decoded:
                errors = 0
                yield self._picture(frame)
        logger.info("%s: gave up after %d errors in a row", self._name, errors)

    def _count_damage(self, errors: int, error: Exception) -> int:
        if self.damaged == 0:
            logger.info("%s: damaged data is skipped: %s", self._name, _reason(error))
        self.damaged += 1
        return errors + 1

    def rewind(self) -> None:
        """Goes back to the beginning; times go on rising."""
        try:
            self._container.seek(self._stream.start_time or 0, stream=self._stream)
        except av.FFmpegError as error:
            raise SourceError(
                f"{self._name} cannot be played again from its beginning: {_reason(error)}; "
                "convert it to MP4"
            ) from None
        self._timeline.restart()

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        self._container.close()

    def _picture(self, frame: Any) -> Picture:
        pts_ns = None
        if frame.pts is not None and frame.time_base is not None:
            pts_ns = round(frame.pts * frame.time_base * 1_000_000_000)
        converted = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        rgb = np.ascontiguousarray(np.rot90(converted, round(frame.rotation / 90)), np.uint8)
        return rgb, self._timeline.next_ns(pts_ns)


def _reason(error: Exception) -> str:
    """What went wrong, without the address and its credentials that FFmpeg's text repeats."""
    if isinstance(error, av.error.ExitError):  # PyAV breaks off when its timeout has passed
        return "nothing came in time"
    return getattr(error, "strerror", None) or type(error).__name__


def _frame_rate(stream: Any) -> float:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0.5 <= rate <= 1000:
            return float(rate)
    return FALLBACK_FPS


def open_file(path: str | Path) -> VideoDecoder:
    """A decoder of a file on disk; SourceError when it is missing or no video."""
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"expected a video file at {path}; got nothing there: check the name")
    # file: keeps FFmpeg from reading a protocol into the name.
    return VideoDecoder(f"file:{path}", name=str(path))


def probe_video(path: str | Path) -> VideoInfo:
    """Size, frame rate and length of a file; SourceError when nothing in it decodes."""
    decoder = open_file(path)
    try:
        first = next(decoder.pictures(), None)
        if first is None:
            raise _nothing_decodes(str(path))
        return VideoInfo(size_hw=first[0].shape[:2], fps=decoder.fps, frames=decoder.frames)
    finally:
        decoder.close()


def read_video(path: str | Path) -> Iterator[Frame]:
    """Every frame of a file as fast as it decodes; captured_ns is the time in the file.

    SourceError when it cannot be opened or nothing in it decodes; other damage is skipped.
    """
    decoder = open_file(path)
    seq = -1
    try:
        for seq, (pixels, pts_ns) in enumerate(decoder.pictures()):
            info = FrameInfo(stream_id=0, seq=seq, pts_ns=pts_ns, captured_ns=pts_ns)
            yield Frame(info=info, pixels=pixels)
        if seq < 0:
            raise _nothing_decodes(str(path))
    finally:
        decoder.close()


def _nothing_decodes(name: str) -> SourceError:
    return SourceError(f"nothing in {name} can be decoded: the file is damaged; export it again")


class VideoSource:
    """A file played in real time: every frame, none before its time, over and over with loop."""

    def __init__(self, path: Path, *, clock: Clock, loop: bool = True) -> None:
        self._name = str(path)
        self._decoder = open_file(path)
        self._loop = loop
        self._pictures = self._decoder.pictures()
        self._waiting = next(self._pictures, None)
        if self._waiting is None:
            self._decoder.close()
            raise _nothing_decodes(self._name)
        self._stamper = Stamper(clock)
        self._pacer = Pacer(clock)

    @property
    def name(self) -> str:
        """The path."""
        return self._name

    @property
    def damaged(self) -> int:
        """Packets that could not be decoded and were skipped."""
        return self._decoder.damaged

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame when it is due; SourceEnded at the end without loop."""
        if self._waiting is None:
            self._waiting = self._next_picture()
        pixels, pts_ns = self._waiting
        if not self._pacer.wait_until_due(pts_ns, timeout_s):
            return None
        self._waiting = None
        return self._stamper.frame(pixels, pts_ns)

    def _next_picture(self) -> Picture:
        picture = next(self._pictures, None)
        if picture is not None:
            return picture
        if not self._loop:
            raise SourceEnded(f"{self._name} has played to its end")
        self._decoder.rewind()
        self._pictures = self._decoder.pictures()
        picture = next(self._pictures, None)
        if picture is None:
            raise _nothing_decodes(self._name)
        return picture

    def close(self) -> None:
        """Closes the file."""
        self._decoder.close()
