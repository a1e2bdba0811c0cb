"""Training of the tiny SAM as SAM was trained: to cut out what is pointed at, without any words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from promptmatte.models.embedded import load_network
from promptmatte.training.datasets import Dataset
from promptmatte.training.losses import mask_iou
from promptmatte.training.mixed_precision import mixed_precision
from promptmatte.training.run import TrainingRun, cosine, descend, warm_up
from torch import Tensor, nn

from .crops import training_pictures
from .regions import Asked, Requests
from .sam import SIDE_PX, new_tiny_sam, save_tiny_sam

FOCAL_WEIGHT, DICE_WEIGHT = 20.0, 1.0
"""As Kirillov et al. 2023 weigh them."""

KINDS = {"points": 0.4, "box": 0.15, "point and box": 0.35, "mask": 0.1}
"""How often each way to ask is used; the first three have a rough mask too half of the time."""


@dataclass(frozen=True, kw_only=True)
class SamPlan:
    """Sizes and steps of one tiny SAM."""

    side_px: int = SIDE_PX
    steps: int = 2000
    pictures: int = 4
    each: int = 7
    learning_rate: float = 4e-4
    seed: int = 0
    save_every: int = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class SamBatch:
    """Pictures uint8 [B, 3, S, S] with N requests each: masks and rough logits [B, N, s, s], xy
    [B, N, 3, 2], kind [B, N, 3], box [B, N, 4]."""

    pixels: Tensor
    inside_hw: list[tuple[int, int]]
    mask: Tensor
    rough: Tensor
    xy: Tensor
    kind: Tensor
    box: Tensor

    @classmethod
    def of(cls, drawn: list[Asked]) -> SamBatch:
        """The batch of pictures with as many requests each."""

        def stacked(name: str) -> Tensor:
            rows = [np.stack([getattr(r, name) for r in asked.requests]) for asked in drawn]
            return torch.from_numpy(np.stack(rows))

        return cls(
            pixels=torch.from_numpy(np.stack([asked.pixels for asked in drawn])).permute(
                0, 3, 1, 2
            ),
            inside_hw=[asked.inside_hw for asked in drawn],
            **{name: stacked(name) for name in ("mask", "rough", "xy", "kind", "box")},
        )


class TinySamTrainer(TrainingRun[SamBatch]):
    """One training run of a tiny SAM, which goes on where it stopped. embedded: the weights file
    of the embedded model."""

    def __init__(
        self, *, datasets: list[Dataset], path: Path, plan: SamPlan, embedded: Path
    ) -> None:
        super().__init__(
            folder=path.with_name(f"{path.stem}-training"),
            steps=plan.steps,
            save_every=plan.save_every,
        )
        self.plan = plan
        self.path = path
        self._datasets = datasets
        torch.manual_seed(plan.seed)
        self.sam: Any = new_tiny_sam(load_network(embedded)[0], plan.side_px)
        self._trained = nn.ModuleList(
            [self.sam.prompt_encoder, self.sam.mask_decoder, self.sam.image_encoder.neck]
        )
        self._optimizer = torch.optim.AdamW(
            self._trained.parameters(), lr=plan.learning_rate, weight_decay=0.02, fused=True
        )
        self._ways = random.Random(plan.seed)
        self.resume()

    def run(self, *, progress: Callable[[str, int, float], None]) -> None:
        """Trains up to plan.steps and writes the Sam; progress is told the stage, the step and
        the recent mean loss."""
        self._go(lambda step, loss: progress("sam", step, loss))
        save_tiny_sam(self.sam, self.path)

    def _state(self) -> dict[str, Any]:
        return {
            "plan": asdict(self.plan),
            "trained": self._trained.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._trained.load_state_dict(state["trained"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _batches(self) -> Iterator[SamBatch]:
        plan = self.plan
        requests = Requests(
            training_pictures(self._datasets, long_side_px=plan.side_px),
            side_px=plan.side_px,
            each=plan.each,
            seed=plan.seed + self.step,
        )
        while True:
            yield SamBatch.of([requests.draw() for _ in range(plan.pictures)])

    def _train(self, batch: SamBatch) -> float:
        rate = self.plan.learning_rate * warm_up(self.step, 40)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * (0.01 + 0.495 * (1 + cosine(self.step, self.plan.steps)))
        way = self._ways.choices(list(KINDS), list(KINDS.values()))[0]
        with mixed_precision(batch.pixels.device):
            embeddings = self._embeddings(batch)
            found = [
                self.sam.mask_decoder(
                    image_embeddings=embeddings[i : i + 1],
                    image_pe=self.sam.prompt_encoder.get_dense_pe(),
                    sparse_prompt_embeddings=sparse,
                    dense_prompt_embeddings=dense,
                    multimask_output=True,
                )
                for i, (sparse, dense) in enumerate(self._prompts(batch, way))
            ]
        masks = torch.cat([masks for masks, _ in found]).float()
        quality = torch.cat([quality for _, quality in found]).float()
        loss = sam_loss(masks, quality, batch.mask.flatten(0, 1))
        return descend(loss, [self._trained.parameters()], self._optimizer)

    def _embeddings(self, batch: SamBatch) -> Tensor:
        normal = (batch.pixels.float() - self.sam.pixel_mean) / self.sam.pixel_std
        for picture, (height, width) in zip(normal, batch.inside_hw, strict=True):
            picture[:, height:] = 0.0
            picture[:, :, width:] = 0.0
        with torch.no_grad():
            stem = self.sam.image_encoder.patch_embed(
                normal.contiguous(memory_format=torch.channels_last)
            )
        return self.sam.image_encoder.neck(stem.permute(0, 3, 1, 2))  # type: ignore[no-any-return]

    def _prompts(self, batch: SamBatch, way: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Sparse and dense prompts for the requests of each picture, in one way for all."""
        encoder = self.sam.prompt_encoder
        points = self._ways.choice((1, 1, 2, 3)) if way == "points" else 1
        for i in range(len(batch.pixels)):
            xy, kind = batch.xy[i, :, :points], batch.kind[i, :, :points]
            sparse, none = encoder(
                points=(xy, kind) if "point" in way else None,
                boxes=batch.box[i] if "box" in way else None,
                masks=None,
            )
            count = batch.mask.shape[1]
            sparse = sparse.expand(count, -1, -1)
            rough = encoder.mask_downscaling(batch.rough[i].unsqueeze(1))
            has_rough = torch.rand(count, 1, 1, 1) < (1.0 if way == "mask" else 0.5)
            yield sparse, torch.where(has_rough, rough, none.expand(count, -1, -1, -1))


def sam_loss(masks: Tensor, quality: Tensor, target: Tensor) -> Tensor:
    """Scalar: the best of three masks [N, 3, s, s] by focal and Dice loss against targets
    [N, s, s] in 0..1, and the squared error of the predicted IoU [N, 3]."""
    truth = target.unsqueeze(1).expand_as(masks)
    entropy = F.binary_cross_entropy_with_logits(masks, truth, reduction="none")
    alpha = masks.sigmoid()
    wrong = alpha * (1 - truth) + (1 - alpha) * truth
    weight = 0.25 * truth + 0.75 * (1 - truth)
    focal = (weight * wrong.square() * entropy).mean((2, 3))
    overlap = (alpha * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (alpha.sum((2, 3)) + truth.sum((2, 3)) + 1)
    losses = FOCAL_WEIGHT * focal + DICE_WEIGHT * dice
    iou = mask_iou(masks, target, torch.ones_like(target))
    # All three count a little, else those never chosen stay what they were.
    best = 0.9 * losses.min(dim=1).values + 0.1 * losses.mean(dim=1)
    return best.mean() + F.mse_loss(quality, iou)
