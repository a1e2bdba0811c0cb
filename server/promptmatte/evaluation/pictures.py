"""How well a model keys prompts on pictures with masks: overlap, and silence where nothing is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from promptmatte.config import PipelineConfig
from promptmatte.errors import ConfigError
from promptmatte.evaluation.measures import iou
from promptmatte.evaluation.truth import LabelledPrompt, read_mask
from promptmatte.matte.still import still_matte
from promptmatte.models.protocol import Model
from promptmatte.prompts import PromptSet
from promptmatte.sources.image import read_image
from promptmatte.training.datasets import picture_pairs, read_classes

EMPTY_SHARE = 0.01
"""A matte that covers less of the picture than this counts as empty."""


class Evaluation:
    """One run over a folder: iterate pictures(model), then result(model).

    The matte is the product's own for a still picture: decoded, fitted to the edges,
    empty below the confidence floor, cut at half alpha.
    """

    def __init__(
        self, folder: Path, prompts: list[LabelledPrompt], *, stride: int, limit: int | None
    ) -> None:
        if stride < 1 or (limit is not None and limit < 1):
            raise ConfigError(f"expected stride and limit of at least 1; got {stride} and {limit}")
        self.pairs = picture_pairs(folder)[::stride][:limit]
        _, self._ignore = read_classes(folder)
        self._prompts = prompts
        self._times_s: list[float] = []
        self._ious: dict[str, list[float]] = {p.name: [] for p in prompts}
        self._empty: dict[str, list[bool]] = {p.name: [] for p in prompts}

    def pictures(self, model: Model) -> Iterator[Path]:
        """Measures picture by picture; yields each one's path when it is done."""
        for image, mask in self.pairs:
            self._measure(model, image, mask)
            yield image

    def _measure(self, model: Model, image: Path, mask: Path) -> None:
        frame, labels = read_image(image), read_mask(mask)
        known = ~np.isin(labels, self._ignore)
        start = time.perf_counter()
        scene = model.encode(frame)
        alphas = []
        for first in range(0, len(self._prompts), 4):
            prompts = PromptSet(prompts=tuple(p.prompt for p in self._prompts[first : first + 4]))
            matte = still_matte(model, scene, frame, prompts, config=PipelineConfig())
            alphas += [matte.alpha[..., c] for c in range(len(prompts.prompts))]
        self._times_s.append(time.perf_counter() - start)
        for entry, alpha in zip(self._prompts, alphas, strict=True):
            size = (labels.shape[1], labels.shape[0])
            matte_here = (cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR) >= 128) & known
            truth = np.isin(labels, entry.labels) & known
            if truth.any():
                self._ious[entry.name].append(iou(matte_here, truth))
            else:
                self._empty[entry.name].append(float(matte_here.mean()) < EMPTY_SHARE)

    def result(self, model: Model) -> dict[str, Any]:
        """Model, device, median ms_per_image and, per prompt, miou, n, absent_n, absent_empty."""

        def mean(values: list[float] | list[bool]) -> float | None:
            return round(float(np.mean(values)), 4) if values else None

        return {
            "model": model.name,
            "device": model.device,
            "ms_per_image": round(1e3 * float(np.median(self._times_s)), 2),
            "prompts": {
                text: {
                    "miou": mean(self._ious[text]),
                    "n": len(self._ious[text]),
                    "absent_n": len(self._empty[text]),
                    "absent_empty": mean(self._empty[text]),
                }
                for text in self._ious
            },
        }
