"""Pictures from files: one image, or a folder of them played in the order of their names."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.clock import Clock
from promptmatte.errors import SourceEnded, SourceError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.sources.pacing import Pacer, Stamper
from promptmatte.sources.picture_size import MAX_PIXELS, check_pixels, picture_size

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
IMAGES_PER_S = 30
MAX_FILE_BYTES = 256 * 1024 * 1024
"""More than any picture of MAX_PIXELS takes, with its previews and metadata."""


def read_image(path: str | Path, *, most_pixels: int = MAX_PIXELS) -> Frame:
    """The picture in a file as an rgb8 frame, turned as its EXIF data says, alpha dropped.

    16-bit channels are scaled to 8 bits. SourceError for a missing or damaged file, or for a
    picture of more pixels than most_pixels, before it is decoded.
    """
    pixels = _read_pixels(Path(path), most_pixels)
    return Frame(info=FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0), pixels=pixels)


def _read_pixels(path: Path, most_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    data = _read_bytes(path)
    try:
        check_pixels(*picture_size(data), most=most_pixels)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except SourceError as error:
        raise SourceError(f"in {path}: {error}") from error
    except cv2.error:
        pixels = None
    if pixels is None:
        raise SourceError(
            f"expected a picture in {path}; got {len(data)} bytes that OpenCV cannot decode: "
            "the file is damaged"
        )
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _read_bytes(path: Path) -> bytes:
    try:
        # cv2.imread cannot open every name on Windows
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SourceError(
            f"cannot read the picture {path}: {error.strerror or error}; check its name and rights"
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise SourceError(
            f"expected a picture of at most {MAX_FILE_BYTES >> 20} MB in {path}; got more: save "
            "it smaller"
        )
    return data


def by_number(path: Path) -> list[tuple[int, str]]:
    """A sort key that puts frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


class ImageSource:
    """One image again and again, or the images of a folder, at `IMAGES_PER_S`.

    An image of a folder that cannot be decoded is skipped and counted in `damaged`.
    """

    def __init__(self, path: Path, *, clock: Clock, loop: bool = True) -> None:
        self._name = str(path)
        self._loop = loop
        self._paths = [path]
        self.damaged = 0
        if path.is_dir():
            self._paths = sorted(
                (p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=by_number
            )
            if not self._paths:
                raise SourceError(
                    f"expected images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {path}; got none"
                )
        self._only = _read_pixels(path) if self._paths == [path] else None
        self._next = 0
        self._stamper = Stamper(clock)
        self._pacer = Pacer(clock)

    @property
    def name(self) -> str:
        """The file or folder."""
        return self._name

    def read(self, timeout_s: float) -> Frame | None:
        """The next image when it is due; SourceEnded after the last without loop."""
        if not self._loop and self._next >= len(self._paths):
            raise SourceEnded(f"{self._name}: the last image has been shown")
        pts_ns = self._stamper.seq * 1_000_000_000 // IMAGES_PER_S
        if not self._pacer.wait_until_due(pts_ns, timeout_s):
            return None
        pixels = self._next_pixels()
        return self._stamper.frame(pixels, pts_ns)

    def _next_pixels(self) -> npt.NDArray[np.uint8]:
        if self._only is not None:
            self._next += 1
            return self._only
        for _ in self._paths:
            if not self._loop and self._next >= len(self._paths):
                raise SourceEnded(f"{self._name}: the last image has been shown")
            path = self._paths[self._next % len(self._paths)]
            self._next += 1
            try:
                return _read_pixels(path)
            except SourceError as error:
                self.damaged += 1
                logger.info("skipped: %s", error)
        raise SourceError(f"none of the {len(self._paths)} images in {self._name} can be decoded")

    def close(self) -> None:
        """Holds nothing to free."""
