"""Where live frames come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from promptmatte.clock import Clock
from promptmatte.errors import ConfigError, SourceError
from promptmatte.links.protocol import ServerLink
from promptmatte.sources.camera import CameraSource
from promptmatte.sources.conversion import as_rgb8
from promptmatte.sources.image import IMAGE_SUFFIXES, ImageSource, read_image
from promptmatte.sources.link import LinkSource
from promptmatte.sources.protocol import Source
from promptmatte.sources.redaction import redacted
from promptmatte.sources.stream import STREAM_SCHEMES, StreamSource
from promptmatte.sources.test_pictures import CUT_OUTS, PicturesSource, TestPictures
from promptmatte.sources.vendor import VendorSource
from promptmatte.sources.video import VideoInfo, VideoSource, probe_video, read_video
from promptmatte.vendors import is_vendor_address

__all__ = [
    "Source",
    "TestPictures",
    "VideoInfo",
    "as_rgb8",
    "open_source",
    "probe_video",
    "read_image",
    "read_video",
]

ACCEPTED = (
    "camera:0, a video or image file, a folder of images, a stream URL "
    f"({', '.join(sorted(STREAM_SCHEMES))}), shm:NAME, zmq:ADDRESS, touch:NAME, cuda:NAME, "
    "ndi:NAME, spout:NAME, syphon:NAME, "
    f"test: or test:{'|'.join(CUT_OUTS)}"
)


def open_source(
    spec: str, *, clock: Clock, links: Sequence[ServerLink] = (), loop: bool = True
) -> Source:
    """The source that `spec` names, opened; the caller closes it.

    ConfigError for a spec that names none; SourceError when it cannot be opened.
    """
    kind, colon, rest = spec.partition(":")
    if colon and kind == "camera":
        return CameraSource(rest, clock=clock)
    if colon and kind == "test":
        things = (rest,) if rest else tuple(CUT_OUTS)
        return PicturesSource(TestPictures(things=things), name=spec, clock=clock, loop=loop)
    if colon and kind in ("shm", "zmq", "touch", "cuda"):
        return LinkSource(_link(spec, links))
    if is_vendor_address(spec):
        return VendorSource(spec, clock=clock)
    if scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", spec):
        if scheme[1].lower() not in STREAM_SCHEMES:
            raise ConfigError(f"expected a source: {ACCEPTED}; got {redacted(spec)!r}")
        return StreamSource(spec, clock=clock, loop=loop)
    return _open_path(spec, clock=clock, loop=loop)


def _link(spec: str, links: Sequence[ServerLink]) -> ServerLink:
    for link in links:
        if link.address == spec:
            return link
    known = ", ".join(link.address for link in links) or "none"
    raise ConfigError(f"expected a source on a link of this server ({known}); got {spec!r}")


def _open_path(spec: str, *, clock: Clock, loop: bool) -> Source:
    path = Path(spec).expanduser()
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError):  # a name that no file can have
        is_folder = exists = False
    if not spec or (not exists and not path.suffix and len(path.parts) < 2):
        raise ConfigError(f"expected a source: {ACCEPTED}; got {spec!r}")
    if not exists:
        raise SourceError(f"expected a file or folder at {spec}; got nothing there: check the name")
    if is_folder or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(path, clock=clock, loop=loop)
    return VideoSource(path, clock=clock, loop=loop)
