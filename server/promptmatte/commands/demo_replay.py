"""The pictures of a source once more, found by the seq that their mattes carry."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from promptmatte.errors import ConfigError, SourceError
from promptmatte.sources import open_source
from promptmatte.sources.test_pictures import PicturesSource

_LIVE = re.compile(r"(camera|shm|zmq):|[A-Za-z][A-Za-z0-9+.-]*://")


class _HurriedClock:
    """Time passes only by waiting, and that takes none."""

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_s(self, seconds: float) -> None:
        self._now_ns += round(seconds * 1e9)


class Replay:
    """Pictures of a source that gives the same ones each time it is opened.

    ConfigError for a live source; SourceError when it cannot be opened.
    """

    def __init__(self, source: str) -> None:
        if _LIVE.match(source):
            raise ConfigError(
                "expected a source that can be played twice: test:, test:person, a video or "
                f"picture file; got {source!r}: use promptmatte serve for live ones"
            )
        self._source = open_source(source, clock=_HurriedClock(), loop=True)
        self._test = self._source.pictures if isinstance(self._source, PicturesSource) else None
        self._seq = -1
        self._pixels: npt.NDArray[np.uint8] | None = None

    def picture(self, seq: int) -> npt.NDArray[np.uint8]:
        """The picture uint8 [H, W, 3] of a frame; ask in rising order of seq."""
        if self._test is not None:
            return self._test.frame_at(seq)
        while self._seq < seq or self._pixels is None:
            frame = self._source.read(60.0)
            if frame is None or frame.info.seq > seq:
                raise SourceError(f"cannot find frame {seq} of {self._source.name} again")
            self._seq, self._pixels = frame.info.seq, np.asarray(frame.pixels, np.uint8)
        return self._pixels

    def truth(self, seq: int, thing: str) -> npt.NDArray[np.bool_] | None:
        """The pixels [H, W] of a thing in a test picture; None where that is not known."""
        if self._test is None or thing not in self._test.things:
            return None
        return self._test.truth_at(seq)[thing] >= 0.5

    def close(self) -> None:
        """Closes the source."""
        self._source.close()
