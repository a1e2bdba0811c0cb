"""Ways to answer a question about a picture: the product's, what they are held against, and the
ceilings of the tiny SAM itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.embedded import EmbeddedModel
from promptmatte.models.prompters import DensePrompter, Prompter, SamClipFeatures
from promptmatte.models.prompters.calibration import BLOB_SHARE, CORE_CELLS
from promptmatte.models.prompters.competition import Competition, standing
from promptmatte.models.prompters.projection import ProjectionPrompter
from promptmatte.models.prompters.projection_network import ProjectionNetwork
from promptmatte.models.prompters.projection_weights import Fit, load_projection
from promptmatte.models.protocol import Decoded
from promptmatte.models.sam import SamNetwork
from promptmatte.models.vocabulary import vocabulary
from promptmatte.prompts import Prompt, PromptSet
from torch import Tensor

from .held_out import Case, Mask
from .regions import inner_middle

RANDOM_DRAWS = 3
MOST_PARTS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One case as the networks see it; plain: CLIP's dense features without SAM as a guide."""

    case: Case
    guided: SamClipFeatures
    plain: SamClipFeatures


Contestant = Callable[[View], list[Decoded]]
"""Answers all questions of a view, once or, where chance has a part, several times."""


class Contestants:
    """All contestants by name over one pair. projections: name -> weights file."""

    def __init__(
        self,
        sam: SamNetwork,
        clip: ClipNetwork,
        projections: dict[str, Path],
        embedded: EmbeddedModel,
    ) -> None:
        self._sam = sam
        self._clip = clip
        self._embedded = embedded
        self._competition = Competition(clip)
        dense = DensePrompter(sam, clip)
        self.by_name: dict[str, Contestant] = {
            "embedded": self._by_embedded,
            "dense": lambda view: _asked(dense, view.guided, view.case),
            "dense, no guide": lambda view: _asked(dense, view.plain, view.case),
            "coarse map": lambda view: [self._coarse(view, view.guided)],
            "coarse map, no guide": lambda view: [self._coarse(view, view.plain)],
        }
        for name, path in projections.items():
            self.by_name[name] = self._projection(path)
        first = next(iter(projections.values()))
        self._tokens = self._token_statistics(load_projection(first, fit=Fit.of(sam, clip)))
        self.by_name |= {
            "random token": self._random_tokens,
            "everything": self._everything,
            "oracle point": lambda view: [self._oracle(view, "point")],
            "oracle box": lambda view: [self._oracle(view, "box")],
            "oracle point and box": lambda view: [self._oracle(view, "point and box")],
        }

    @torch.inference_mode()
    def view(self, case: Case) -> View:
        """What the networks make of a case."""
        guided = SamClipFeatures.of(case.pixels, sam=self._sam, clip=self._clip)
        plain = replace(guided, clip=self._clip.dense(case.pixels))
        return View(case=case, guided=guided, plain=plain)

    def _projection(self, path: Path) -> Contestant:
        prompter = ProjectionPrompter.load(path, sam=self._sam, clip=self._clip)
        return lambda view: _asked(prompter, view.guided, view.case)

    def _by_embedded(self, view: View) -> list[Decoded]:
        model = self._embedded
        info = FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0)
        scene = model.encode(Frame(info=info, pixels=view.case.pixels))
        parts = [model.decode(scene, model.embed(prompts)) for prompts in _in_fours(view.case)]
        return [_whole(parts)]

    def _coarse(self, view: View, features: SamClipFeatures) -> Decoded:
        """CLIP's map alone, cut at the level at which the dense prompter cuts out blobs."""
        parts = []
        for prompts in _in_fours(view.case):
            contest = self._competition.contest(prompts)
            odds = standing(features.clip, contest, scale=self._clip.logit_scale).odds
            large = F.interpolate(odds[None], features.sam.mask_hw, mode="bilinear")[0]
            level = BLOB_SHARE * large.sigmoid().amax(dim=(1, 2), keepdim=True)
            best = odds.flatten(1).topk(CORE_CELLS, dim=1).values.sigmoid().mean(dim=1)
            parts.append(
                Decoded(logits=(large - level.logit()).numpy(), confidence=tuple(best.tolist()))
            )
        return _whole(parts)

    @torch.inference_mode()
    def _token_statistics(self, network: ProjectionNetwork) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and deviation [dim] of the tokens of everyday words, and the empty position
        [1, 1, dim]."""
        tokens = network.points(network.words(self._clip.texts(vocabulary())))
        return tokens[:, 0].mean(dim=0), tokens[:, 0].std(dim=0), tokens[:1, 1:]

    def _random_tokens(self, view: View) -> list[Decoded]:
        """A token with the statistics of the projection's, at random for each question."""
        mean, deviation, empty = self._tokens
        count = len(view.case.questions)
        found = []
        for draw in range(RANDOM_DRAWS):
            seed = sum(view.case.name.encode()) * RANDOM_DRAWS + draw
            noise = torch.randn(count, len(mean), generator=torch.Generator().manual_seed(seed))
            token = (mean + deviation * noise).unsqueeze(1)
            sparse = torch.cat([token, empty.expand(count, -1, -1)], dim=1)
            found.append(self._predicted(view, sparse))
        return found

    def _everything(self, view: View) -> list[Decoded]:
        """The whole picture, whatever the question."""
        count = len(view.case.questions)
        return [Decoded(logits=np.ones((count, 4, 4), np.float32), confidence=(1.0,) * count)]

    def _oracle(self, view: View, way: str) -> Decoded:
        """The true parts of what is asked for, each pointed at; nothing for what is absent."""
        nothing = np.full(view.guided.sam.mask_hw, -1.0, np.float32)
        logits = []
        for question in view.case.questions:
            parts = _parts(question.truth)
            found = self._pointed(view, parts, way) if parts else nothing[None]
            logits.append(found.max(axis=0))
        return Decoded(
            logits=np.stack(logits),
            confidence=tuple(float(question.present) for question in view.case.questions),
        )

    def _pointed(self, view: View, parts: list[Mask], way: str) -> npt.NDArray[np.float32]:
        """Logits [N, h, w] of SAM, each part asked for by its middle, its box, or both."""
        scale = self._sam.input_side / max(parts[0].shape)
        tokens = []
        if "point" in way:
            points = torch.tensor([[inner_middle(part)] for part in parts]) * scale
            labels = torch.ones(len(parts), 1, dtype=torch.int64)
            tokens.append(self._sam.points(points, labels, pad="box" not in way))
        if "box" in way:
            tokens.append(self._sam.boxes(torch.tensor([_box(part) for part in parts]) * scale))
        return self._predicted(view, torch.cat(tokens, dim=1)).logits

    @torch.inference_mode()
    def _predicted(self, view: View, sparse: Tensor) -> Decoded:
        """Of each row's three masks the one that SAM takes for the best."""
        features = view.guided.sam
        masks, quality = self._sam.predict(
            features.embedding, sparse=sparse, dense=self._sam.no_mask
        )
        best = quality.max(dim=1)
        chosen = masks[torch.arange(len(masks)), best.indices]
        confidence = tuple(best.values.clamp(0, 1).tolist())
        return Decoded(logits=features.cropped(chosen).numpy(), confidence=confidence)


def _asked(prompter: Prompter, features: SamClipFeatures, case: Case) -> list[Decoded]:
    with torch.inference_mode():
        parts = [
            prompter.decode(features, prompts, prompter.embed(prompts))
            for prompts in _in_fours(case)
        ]
    return [_whole(parts)]


def _in_fours(case: Case) -> list[PromptSet]:
    texts = [question.text for question in case.questions]
    return [
        PromptSet(prompts=tuple(Prompt(text=text) for text in texts[start : start + 4]))
        for start in range(0, len(texts), 4)
    ]


def _whole(parts: list[Decoded]) -> Decoded:
    return Decoded(
        logits=np.concatenate([part.logits for part in parts]),
        confidence=tuple(c for part in parts for c in part.confidence),
    )


def _parts(truth: Mask) -> list[Mask]:
    """The largest connected parts of a mask that are not crumbs."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = [1 + int(i) for i in np.argsort(-areas)[:MOST_PARTS]]
    return [labels == i for i in order if areas[i - 1] >= 0.05 * areas.max()]


def _box(part: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    return (
        float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    )  # fmt: skip
