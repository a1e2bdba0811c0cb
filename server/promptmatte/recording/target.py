"""Where a recording goes, and in which format."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from promptmatte.errors import ConfigError
from promptmatte.recording.alpha_video import LIVE_CODECS, AlphaVideoWriter, alpha_codec
from promptmatte.recording.png_sequence import PngSequence
from promptmatte.recording.raw_file import RawFile, new_file


class PictureWriter(Protocol):
    """What every format can do."""

    size_hw: tuple[int, int]

    def write(self, rgba: npt.NDArray[np.uint8], pts_ns: int) -> None:
        """Adds a picture uint8 [H, W, 4] of its size; OSError or av.FFmpegError."""
        ...

    def close(self) -> None:
        """Finishes the file."""
        ...

    def abandon(self) -> None:
        """Lets go of the file as it is."""
        ...


@dataclass(frozen=True, kw_only=True)
class RecordingTarget:
    """A file name for takes: the first free of NAME, NAME-2, NAME-3 is used for each.

    create: makes a file that was not there, or raises FileExistsError.
    """

    path: Path
    create: Callable[[Path], io.RawIOBase] = new_file

    def __post_init__(self) -> None:
        """ConfigError for a format that cannot be written or a folder that is not there."""
        suffix, folder = self.path.suffix.lower(), self.path.absolute().parent
        if suffix and suffix not in LIVE_CODECS:
            raise ConfigError(
                "expected a recording ending in .mov (ProRes 4444) or .webm (VP9), or a name "
                f"without an ending for a folder of PNG files; got {self.path.name!r}"
            )
        if suffix:
            alpha_codec(self.path, LIVE_CODECS)
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise ConfigError(
                f"expected a recording in a folder that exists and can be written; got {self.path}"
            )

    def open(self, size_hw: tuple[int, int]) -> tuple[Path, PictureWriter]:
        """A file or folder of its own for pictures of this size; OSError."""
        if not self.path.suffix:
            folder = next(path for path in self._names() if _is_claimed(path))
            return folder, PngSequence(folder, size_hw=size_hw)
        path, raw = next(made for made in map(self._made, self._names()) if made is not None)
        codec = alpha_codec(self.path, LIVE_CODECS)
        threads = max(1, (os.cpu_count() or 2) // 2)  # the mattes need the others
        writer = AlphaVideoWriter(
            RawFile(raw), codec=codec, size_hw=size_hw, fps=None, threads=threads
        )
        return path, writer

    def _names(self) -> Iterator[Path]:
        yield self.path
        for number in itertools.count(2):
            yield self.path.with_name(f"{self.path.stem}-{number}{self.path.suffix}")

    def _made(self, path: Path) -> tuple[Path, io.RawIOBase] | None:
        try:
            return path, self.create(path)
        except FileExistsError:
            return None


def _is_claimed(folder: Path) -> bool:
    """True when the folder is ours: new, or there and empty."""
    try:
        folder.mkdir()
    except FileExistsError:
        return folder.is_dir() and not any(folder.iterdir())
    return True
