"""The frames that benchmarks show: the test pictures, or those of a file or folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import SourceError
from promptmatte.sources.image import IMAGE_SUFFIXES, by_number, read_image
from promptmatte.sources.test_pictures import TestPictures

Pixels = npt.NDArray[np.uint8]


def pictures(
    size_hw: tuple[int, int], count: int, *, clip: Path | None = None, fps: float = 30.0
) -> list[Pixels]:
    """At most so many frames in a row, uint8 RGB [H, W, 3], read-only.

    clip: a video file or a folder of pictures, whose frames are stretched to the size; without
    one, the test pictures at fps. SourceError for a clip without frames.
    """
    if clip is None:
        source = TestPictures(size_hw=size_hw, fps=fps)
        found = [source.frame_at(index) for index in range(count)]
    else:
        size_wh = size_hw[::-1]
        found = [
            np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
            for picture in islice(_frames(clip), count)
        ]
    if not found:
        raise SourceError(f"expected a video file or a folder of pictures; {clip} has no frames")
    for picture in found:
        picture.flags.writeable = False
    return found


def there_and_back(frames: list[Pixels], index: int) -> Pixels:
    """Frame number `index` of a loop without a cut: forward and backward again."""
    period = max(1, 2 * len(frames) - 2)
    place = index % period
    return frames[min(place, period - place)]


def _frames(clip: Path) -> Iterator[Pixels]:
    if clip.is_dir():
        files = (path for path in clip.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        for path in sorted(files, key=by_number):
            yield np.asarray(read_image(path).pixels, np.uint8)
        return
    try:
        with av.open(f"file:{clip}") as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError) as error:
        raise SourceError(f"expected a video file in {clip}; {error}") from error
