"""Streams from the network, through FFmpeg."""

from __future__ import annotations

from promptmatte.clock import Clock
from promptmatte.errors import SourceEnded, SourceError
from promptmatte.sources.latest_reader import LatestReader, LatestSource
from promptmatte.sources.pacing import Pacer
from promptmatte.sources.redaction import redacted
from promptmatte.sources.video import Picture, VideoDecoder

STREAM_SCHEMES = frozenset(
    {"http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"}
)
OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0
MAX_WAIT_S = 0.5


class StreamDevice:
    """A stream as a device that a `LatestReader` reads.

    A recording served over HTTP and HLS arrive in bursts and are played by their times;
    everything else is taken as it comes.
    """

    def __init__(self, url: str, *, name: str, clock: Clock, loop: bool) -> None:
        self._name = name
        low_delay = {} if url.startswith("http") else {"fflags": "nobuffer", "flags": "low_delay"}
        if url.startswith("rtsp"):
            low_delay["rtsp_transport"] = "tcp"
        self._decoder = VideoDecoder(
            url,
            name=name,
            options=low_delay,
            timeout_s=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
            threads="SLICE",  # frame threads would hold back a picture each
        )
        recorded = url.startswith("http") and self._decoder.has_duration
        self._loop = loop and recorded
        self._recorded = recorded
        self._clock = clock
        self._pacer = Pacer(clock) if recorded or "hls" in self._decoder.format_name else None
        self._pictures = self._decoder.pictures()
        self._waiting: Picture | None = None

    def grab(self) -> Picture | None:
        """The next picture when it is due; SourceError when the stream ends."""
        if self._waiting is None:
            self._waiting = self._next_picture()
        if self._pacer and not self._pacer.wait_until_due(self._waiting[1], MAX_WAIT_S):
            return None
        picture, self._waiting = self._waiting, None
        return picture

    def _next_picture(self) -> Picture:
        picture = next(self._pictures, None)
        if picture is None and self._loop:
            self._decoder.rewind()
            self._pictures = self._decoder.pictures()
            picture = next(self._pictures, None)
        if picture is None and self._recorded:
            raise SourceEnded(f"{self._name} has played to its end")
        if picture is None:
            raise SourceError(f"{self._name} has ended or was cut off: check the sender")
        return picture

    def release(self) -> None:
        """Closes the connection."""
        self._decoder.close()


class StreamSource(LatestSource):
    """The newest picture of a network stream."""

    def __init__(self, url: str, *, clock: Clock, loop: bool = True) -> None:
        name = redacted(url)
        device = StreamDevice(url, name=name, clock=clock, loop=loop)
        # FFmpeg reports silence itself, after READ_TIMEOUT_S.
        reader = LatestReader(device, name=name, clock=clock, silence_s=2 * READ_TIMEOUT_S)
        super().__init__(reader, name=name)
