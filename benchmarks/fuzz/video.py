"""Video files: what FFmpeg makes of them, and what we make of that."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from itertools import islice
from pathlib import Path

import av
import numpy as np
from promptmatte.sources.video import open_file

from .target import Target

KINDS = (("mp4", "mpeg4"), ("matroska", "mjpeg"), ("avi", "ffv1"), ("gif", "gif"))
MOST_PICTURES = 8


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="promptmatte-fuzz-"))


def run(data: bytes) -> None:
    """Plays the beginning of the file with this in it, once and again."""
    path = _folder() / "video"
    path.write_bytes(data)
    with closing(open_file(path)) as decoder:
        for _ in islice(decoder.pictures(), MOST_PICTURES):
            pass
        decoder.rewind()
        next(decoder.pictures(), None)


def seeds() -> Sequence[bytes]:
    """Three small pictures in each container."""
    return [_made(container, codec) for container, codec in KINDS]


def _made(container: str, codec: str) -> bytes:
    path = _folder() / f"seed.{container}"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height = 16, 16
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        for level in (0, 100, 200):
            frame = av.VideoFrame.from_ndarray(
                np.full((16, 16, 3), level, np.uint8), format="rgb24"
            )
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


TARGET = Target(run=run, seeds=seeds, most_bytes=8192)
