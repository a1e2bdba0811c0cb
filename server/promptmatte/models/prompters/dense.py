"""The dense prompter: CLIP's map of each term shows SAM where to look. Needs no training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from promptmatte.models.clip import ClipNetwork
from promptmatte.models.combine import combined
from promptmatte.models.lane import Lane
from promptmatte.models.prompters.blobs import Blob, Blobs, blobs_of
from promptmatte.models.prompters.calibration import AGREEMENT, CORE_CELLS, confidence
from promptmatte.models.prompters.competition import LIMIT, Competition, Contest, standing
from promptmatte.models.prompters.protocol import SamClipFeatures
from promptmatte.models.protocol import Decoded
from promptmatte.models.sam import SamFeatures, SamNetwork
from promptmatte.prompts import PromptSet

MOST_DECODED = 24
"""Blobs of all terms together that SAM decodes in one batch; the rest keep the coarse map."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Refined:
    """What SAM made of blobs: logits float32 [N, h, w], agreement with the map 0..1 each."""

    logits: npt.NDArray[np.float32]
    agreement: list[float]


class DensePrompter:
    """Prompter protocol without trained weights of its own.

    Each term competes with negatives and a background list at every place of CLIP's dense
    features. Each blob of its map gives SAM a point, a box and a mask prompt, all blobs in one
    batch; SAM's mask counts as far as it agrees with the blob, else the coarse map does.
    """

    def __init__(self, sam: SamNetwork, clip: ClipNetwork) -> None:
        self._sam = sam
        self._scale = clip.logit_scale
        self._lane = Lane(sam.device)
        self._competition = Competition(clip)

    @property
    def name(self) -> str:
        """dense"""
        return "dense"

    @torch.no_grad()
    def embed(self, prompts: PromptSet) -> Contest | None:
        """Vectors of the terms and who competes with each; None when there are no terms."""
        return self._competition.contest(prompts) if prompts.terms else None

    @torch.no_grad()
    def decode(
        self, features: SamClipFeatures, prompts: PromptSet, vectors: Contest | None
    ) -> Decoded:
        """Logits [P, h, w] over the picture at SAM's mask resolution, and confidence."""
        if vectors is None:
            return combined(prompts)
        sam = features.sam
        found = standing(features.clip, vectors, scale=self._scale)
        small = torch.stack([found.odds, found.margin])
        maps = F.interpolate(small, sam.mask_hw, mode="bilinear", align_corners=False)
        odds, margin = self._lane.download(maps)
        core = max(1, CORE_CELLS * odds[0].size // found.odds[0].numel())
        terms = [blobs_of(odds[t], margin[t], term=t, core_pixels=core) for t in range(len(odds))]
        blobs = sorted(chain.from_iterable(t.blobs for t in terms), key=lambda b: -b.mass)
        refined = self._refined(sam, coarse_maps(maps[0], terms, blobs), terms, blobs)
        return _joined(prompts, terms, blobs, refined)

    def _refined(
        self, features: SamFeatures, coarse: Tensor, terms: list[Blobs], blobs: list[Blob]
    ) -> Refined:
        """SAM's best mask of each blob, mixed with its coarse map as far as they disagree."""
        asked = blobs[:MOST_DECODED]
        logits, agreement = coarse, torch.zeros(len(blobs), device=coarse.device)
        if asked:
            masks, quality = self._decoded(features, coarse[: len(asked)], asked)
            regions = _regions(terms, asked, coarse.device)
            overlap = soft_iou(masks.sigmoid(), regions[:, None].float())
            best = (overlap * (1.0 + quality.clamp(0.0, 1.0))).argmax(dim=1)
            rows = torch.arange(len(asked), device=coarse.device)
            agreement[: len(asked)] = overlap[rows, best]
            none, full = AGREEMENT
            share = ((agreement[: len(asked)] - none) / (full - none)).clamp(0.0, 1.0)
            mixed = torch.lerp(coarse[: len(asked)], masks[rows, best], share[:, None, None])
            logits = torch.cat([mixed, coarse[len(asked) :]])
        return Refined(logits=self._lane.download(logits), agreement=agreement.tolist())

    def _decoded(
        self, features: SamFeatures, coarse: Tensor, blobs: list[Blob]
    ) -> tuple[Tensor, Tensor]:
        """SAM's three masks of each blob [N, 3, h, w] over the picture, predicted IoU [N, 3]."""
        scale = self._sam.input_side / self._sam.mask_side
        device = coarse.device
        points = torch.tensor([[blob.point] for blob in blobs], device=device) * scale
        boxes = torch.tensor([blob.box for blob in blobs], device=device) * scale
        labels = torch.ones(len(blobs), 1, dtype=torch.int, device=device)
        pointed = self._sam.points(points, labels, pad=False)
        sparse = torch.cat([pointed, self._sam.boxes(boxes)], dim=1)
        dense = self._sam.mask_prompt(features.padded(coarse, -LIMIT))
        masks, quality = self._sam.predict(features.embedding, sparse=sparse, dense=dense)
        return features.cropped(masks), quality


def coarse_maps(odds: Tensor, terms: list[Blobs], blobs: list[Blob]) -> Tensor:
    """The map of each blob alone as logits [N, h, w], zero at its edge: the log-odds [T, h, w]
    of its term less the level that bounds it, without the term's other blobs."""
    if not blobs:
        return odds[:0]
    rows = torch.tensor([blob.term for blob in blobs], device=odds.device)
    levels = torch.tensor([terms[blob.term].level for blob in blobs], device=odds.device)
    others = np.stack(
        [(terms[b.term].labels != b.label) & (terms[b.term].labels > 0) for b in blobs]
    )
    alone = odds[rows] - levels[:, None, None]
    return alone.masked_fill(torch.from_numpy(others).to(odds.device), -LIMIT)


def soft_iou(masks: Tensor, regions: Tensor) -> Tensor:
    """Soft intersection over union [N, C] of masks 0..1 [N, C, h, w] and regions [N, 1, h, w]."""
    both = torch.minimum(masks, regions).sum(dim=(2, 3))
    either = torch.maximum(masks, regions).sum(dim=(2, 3))
    return both / either.clamp_min(1e-6)


def _regions(terms: list[Blobs], blobs: list[Blob], device: torch.device) -> Tensor:
    """bool [N, h, w]: the pixels of each blob."""
    own = np.stack([terms[blob.term].labels == blob.label for blob in blobs])
    return torch.from_numpy(own).to(device)


def _joined(prompts: PromptSet, terms: list[Blobs], blobs: list[Blob], refined: Refined) -> Decoded:
    """The union of the blobs of each term, and of the terms of each prompt what it says."""
    logits = np.full((len(terms), *refined.logits.shape[1:]), -LIMIT, np.float32)
    sure = [
        confidence(core_odds=term.core_odds, core_margin=term.core_margin, agreement=0.0)
        if not term.blobs
        else 0.0
        for term in terms
    ]
    for blob, mask, agreement in zip(blobs, refined.logits, refined.agreement, strict=True):
        np.maximum(logits[blob.term], mask, out=logits[blob.term])
        one = confidence(
            core_odds=blob.core_odds, core_margin=blob.core_margin, agreement=agreement
        )
        sure[blob.term] = max(sure[blob.term], one)
    return combined(prompts, logits, sure)
