"""Pictures that people upload, checked before anything decodes them."""

from __future__ import annotations

from pathlib import Path

from promptmatte.errors import SourceError
from promptmatte.frame import Frame
from promptmatte.sources.image import read_image
from promptmatte.sources.picture_size import JPEG, MAX_PIXELS, PNG, check_pixels, picture_size

MAX_BYTES = 4 * 1024 * 1024


def read_upload(path: Path, *, most_pixels: int = MAX_PIXELS) -> Frame:
    """The JPEG or PNG as an rgb8 frame, turned upright; SourceError for one that is too large,
    of another kind or damaged."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SourceError(
            f"expected a picture of at most {MAX_BYTES >> 20} MB; got "
            f"{size / (1 << 20):.1f} MB: save it smaller, or as JPEG"
        )
    data = path.read_bytes()
    if not data.startswith((PNG, JPEG)):
        raise SourceError("expected a JPEG or PNG picture; got a file of another kind")
    check_pixels(*picture_size(data), most=most_pixels)
    try:
        return read_image(path, most_pixels=most_pixels)
    except SourceError as error:  # whose message names a file of the server's
        raise SourceError(
            "expected a picture that can be decoded; got a damaged file: save it again"
        ) from error
