"""What is true of a picture: label masks, and the labels that a prompt stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import ConfigError, DataError
from promptmatte.prompts import Prompt

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class LabelledPrompt:
    """A prompt, the name it was given by and the mask ids that are it."""

    name: str
    prompt: Prompt
    labels: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> LabelledPrompt:
        """From "TEXT=ID,ID", e.g. "sky=1,2" or "person - hair=3"; ConfigError, PromptError."""
        name, _, ids = text.rpartition("=")
        try:
            labels = tuple(int(i) for i in ids.split(","))
        except ValueError:
            labels = ()
        if not name or not labels or not all(0 <= label <= 255 for label in labels):
            raise ConfigError(f'expected TEXT=IDS with ids 0 to 255, e.g. "sky=1,2"; got {text!r}')
        return cls(name=name, prompt=Prompt.parse(name), labels=labels)


def read_mask(path: Path) -> npt.NDArray[np.uint8]:
    """The label ids uint8 [H, W] of a mask file; DataError if it is none.

    A palette PNG gives its indices, other colour pictures their first channel.
    """
    data = np.fromfile(path, np.uint8)
    mask = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if mask is None:
        raise DataError(f"expected {path} to be a mask picture; it cannot be decoded")
    if mask.ndim == 2:
        return np.asarray(mask, np.uint8)
    palette = _palette(data.tobytes())
    return np.asarray(mask[..., 0] if palette is None else _indices(mask, palette), np.uint8)


def _palette(png: bytes) -> npt.NDArray[np.uint8] | None:
    """The palette [n, 3] of a PNG file, which OpenCV's decoder replaces by its colours."""
    at = len(PNG_SIGNATURE)
    while png.startswith(PNG_SIGNATURE) and at + 8 <= len(png):
        size, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        if kind == b"PLTE":
            return np.frombuffer(png[at + 8 : at + 8 + size], np.uint8).reshape(-1, 3)
        if kind == b"IHDR" and png[at + 17] != 3:  # colour type: the PLTE of others is advice
            return None
        at += 12 + size
    return None


def _indices(bgr: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """The first palette index of each pixel's colour."""
    weights = np.array([1 << 16, 1 << 8, 1])
    colours, first = np.unique(palette @ weights, return_index=True)
    return np.asarray(first[np.searchsorted(colours, bgr[..., 2::-1] @ weights)], np.intp)
