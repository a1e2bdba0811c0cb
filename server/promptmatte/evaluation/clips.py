"""Clips of pictures with masks, and what is seen and true in each of their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import ConfigError, DataError
from promptmatte.evaluation.truth import LabelledPrompt, read_mask
from promptmatte.frame import Frame, FrameInfo
from promptmatte.sources.image import IMAGE_SUFFIXES, by_number, read_image

KEPT_FRAMES = 8
"""Decoded pictures and masks that are kept: a matte is at most three frames late."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The picture files of a clip in order, and the mask file of each that has one."""

    name: str
    images: tuple[Path, ...]
    masks: tuple[Path | None, ...]


def read_clips(folder: Path, *, names: Sequence[str] = (), limit: int | None = None) -> list[Clip]:
    """The clips below images/ and masks/: each folder with pictures is one, by its path;
    pictures in images/ itself make one named after the folder.

    names: only these. limit: the first so many frames of each. A clip without a mask
    among them is left out. ConfigError for a name that is none, DataError for no clip.
    """
    clips = {clip.name: clip for clip in _clips(folder, limit)}
    if not clips:
        raise DataError(
            f"expected {folder} to hold images/CLIP/ and masks/CLIP/ with files of the same "
            "names (masks as .png); found no pair"
        )
    for name in names:
        if name not in clips:
            raise ConfigError(f"expected a clip of {', '.join(clips)}; got {name!r}")
    return [clip for clip in clips.values() if not names or clip.name in names]


def _clips(folder: Path, limit: int | None) -> Iterator[Clip]:
    images = folder / "images"
    found = sorted(images.rglob("*")) if images.is_dir() else []
    paths = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    for parent, group in groupby(sorted(paths, key=_parent), key=_parent):
        shown = sorted(group, key=by_number)[:limit]
        below = parent.relative_to(images)
        masks = [(folder / "masks" / below / path.name).with_suffix(".png") for path in shown]
        there = tuple(mask if mask.is_file() else None for mask in masks)
        if any(there):
            name = below.as_posix() if below.parts else folder.resolve().name
            yield Clip(name=name, images=tuple(shown), masks=there)


def _parent(path: Path) -> Path:
    return path.parent


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """bool planes [P, H, W], one a prompt, at the picture's size; known: bool [H, W],
    where the label is not one to ignore. Planes are False where nothing is known."""

    planes: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]


class LabelledFrames:
    """The frames of a clip, 1/fps apart from time 0 on, and the truth of those with a mask."""

    def __init__(
        self,
        clip: Clip,
        prompts: Sequence[LabelledPrompt],
        *,
        ignore: Sequence[int] = (),
        fps: float,
    ) -> None:
        self.clip = clip
        self._labels = np.array([np.isin(np.arange(256), p.labels) for p in prompts])
        self._known = ~np.isin(np.arange(256), ignore)
        self._fps = fps
        self.frame: Callable[[int], Frame] = lru_cache(KEPT_FRAMES)(self._frame)
        """seq -> the rgb8 frame; SourceError for a damaged file."""
        self.truth: Callable[[int], Truth] = lru_cache(KEPT_FRAMES)(self._truth)
        """seq -> its Truth, for a frame that has one; DataError for a damaged file."""

    def __len__(self) -> int:
        return len(self.clip.images)

    def has_truth(self, seq: int) -> bool:
        """True when there is a mask of this frame."""
        return self.clip.masks[seq] is not None

    def time_ns(self, seq: int) -> int:
        """When the frame is captured."""
        return round(seq * 1e9 / self._fps)

    def _frame(self, seq: int) -> Frame:
        time_ns = self.time_ns(seq)
        info = FrameInfo(stream_id=1, seq=seq, pts_ns=time_ns, captured_ns=time_ns)
        return Frame(info=info, pixels=read_image(self.clip.images[seq]).pixels)

    def _truth(self, seq: int) -> Truth:
        path = self.clip.masks[seq]
        if path is None:
            raise DataError(f"expected a mask of {self.clip.images[seq]}; there is none")
        height, width = self.frame(seq).size_hw
        labels = read_mask(path)
        if labels.shape != (height, width):
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        known = self._known[labels]
        return Truth(planes=self._labels[:, labels] & known, known=known)
