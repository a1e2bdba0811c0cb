"""How good a network is on held-out pictures: overlap where a thing is, silence where it is not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.evaluation import EMPTY_SHARE, iou
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models.protocol import Model
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.datasets import Dataset
from promptmatte.training.samples import SMALLEST_SHARE, Crop, read_labelled

ABSENT_PER_PICTURE = 6


@dataclass(kw_only=True)
class ConceptScore:
    """One concept on one data set: raw mask IoU and confidence of each picture."""

    ious: list[float] = field(default_factory=list)
    present_confidence: list[float] = field(default_factory=list)
    absent_confidence: list[float] = field(default_factory=list)
    absent_share: list[float] = field(default_factory=list)

    def add(self, other: ConceptScore) -> None:
        """Takes in the score on further pictures."""
        self.ious += other.ious
        self.present_confidence += other.present_confidence
        self.absent_confidence += other.absent_confidence
        self.absent_share += other.absent_share

    def summary(self, floor: float) -> dict[str, float | int | None]:
        """miou, n, absent_n, absent_empty when mattes below the confidence floor are empty."""
        ious = [
            i if c >= floor else 0.0
            for i, c in zip(self.ious, self.present_confidence, strict=True)
        ]
        empty = [
            c < floor or share < EMPTY_SHARE
            for c, share in zip(self.absent_confidence, self.absent_share, strict=True)
        ]
        return {
            "miou": round(float(np.mean(ious)), 4) if ious else None,
            "n": len(ious),
            "absent_n": len(empty),
            "absent_empty": round(float(np.mean(empty)), 4) if empty else None,
        }


Scores = dict[str, dict[str, ConceptScore]]
"""Data set name -> concept -> score."""


def merged(*parts: Scores) -> Scores:
    """Scores on several sets of pictures as those on all of them."""
    whole: Scores = {}
    for part in parts:
        for name, concepts in part.items():
            own = whole.setdefault(name, {})
            for concept, score in concepts.items():
                own.setdefault(concept, ConceptScore()).add(score)
    return whole


def held_out_scores(
    model: Model,
    datasets: list[Dataset],
    *,
    seed: int = 0,
    part: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Scores:
    """Scores on the held-out pictures of every data set, each concept prompted by its own name.

    part 0 or 1: on every second picture only, so that what is fitted to one half can be
    measured on the other.
    """
    rng = random.Random(seed)
    scores: Scores = {}
    for dataset in datasets:
        own = scores.setdefault(dataset.name, {})
        for index, picture in enumerate(dataset.split()[1]):
            if part is not None and index % 2 != part:
                continue
            labelled = read_labelled(dataset, picture, long_side=640)
            crop = Crop(dataset=dataset, pixels=labelled.pixels, labels=labelled.labels)
            _score_picture(model, crop, own, rng)
            progress()
    return scores


def _score_picture(
    model: Model, crop: Crop, own: dict[str, ConceptScore], rng: random.Random
) -> None:
    masks = {c: crop.mask(c) for c in sorted(crop.dataset.concepts)}
    present = [
        c for c, (here, known) in masks.items()
        if here.mean() >= SMALLEST_SHARE and (known & ~here).mean() >= SMALLEST_SHARE
    ]  # fmt: skip
    absent = [
        c for c, (here, known) in masks.items()
        if crop.dataset.policy.dense and not here.any() and known.mean() > 0.7
    ]  # fmt: skip
    absent += crop.dataset.policy.elsewhere
    asked = present + rng.sample(absent, min(ABSENT_PER_PICTURE, len(absent)))
    info = FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0)
    scene = model.encode(Frame(info=info, pixels=crop.pixels))
    for start in range(0, len(asked), 4):
        concepts = asked[start : start + 4]
        prompts = PromptSet(prompts=tuple(Prompt(text=c) for c in concepts))
        decoded = model.decode(scene, model.embed(prompts))
        for concept, logits, confidence in zip(
            concepts, decoded.logits, decoded.confidence, strict=True
        ):
            matte = full_size(logits, crop.labels.shape) > 0
            score = own.setdefault(concept, ConceptScore())
            if concept in present:
                here, known = masks[concept]
                score.ious.append(iou(matte & known, here & known))
                score.present_confidence.append(confidence)
            else:
                score.absent_confidence.append(confidence)
                score.absent_share.append(float(matte.mean()))


def full_size(logits: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A prompt's logits at the size of a picture [H, W, ...]."""
    size_wh = (shape[1], shape[0])
    return np.asarray(cv2.resize(logits, size_wh, interpolation=cv2.INTER_LINEAR), np.float32)
