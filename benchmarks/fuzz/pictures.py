"""Picture files, as sources and as uploads of the page."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from promptmatte.sources.image import read_image
from promptmatte.web.picture_file import read_upload

from .target import OWN_ERRORS, Target

MOST_PIXELS = 1_000_000
"""Fewer than in use, as many inputs say that they are as large as is allowed."""


@cache
def _file() -> Path:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return Path(tempfile.mkdtemp(prefix="promptmatte-fuzz-")) / "picture.png"


def run(data: bytes) -> None:
    """Reads the file with this in it, in both ways."""
    _file().write_bytes(data)
    with suppress(*OWN_ERRORS):
        read_upload(_file(), most_pixels=MOST_PIXELS)
    read_image(_file(), most_pixels=MOST_PIXELS)


def seeds() -> Sequence[bytes]:
    """A small picture of each kind."""
    pixels = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8)
    kinds = (".png", ".jpg", ".bmp", ".webp", ".tiff")
    return [cv2.imencode(kind, pixels)[1].tobytes() for kind in kinds]


TARGET = Target(run=run, seeds=seeds)
