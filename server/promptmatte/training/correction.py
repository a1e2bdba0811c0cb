"""Training of the network that corrects carried masks: seeded and resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from promptmatte.errors import ConfigError
from promptmatte.matte.correction_network import CorrectionNetwork
from promptmatte.matte.correction_weights import (
    load_correction_network,
    save_correction_network,
)
from promptmatte.training.clip_store import StoredClip
from promptmatte.training.correction_samples import CorrectionBatch, draw_batch
from promptmatte.training.export import export_correction
from promptmatte.training.mixed_precision import mixed_precision
from promptmatte.training.run import TrainingRun, cosine, descend, warm_up

WARM_UP_STEPS = 200
QUALITY_WEIGHT = 0.1
SMALL_PX = 20
"""Pixels that soften the overlap of masks so small that a pixel decides."""


@dataclass(frozen=True, kw_only=True)
class CorrectionConfig:
    """What decides a training run; stored in its checkpoints."""

    steps: int = 4000
    batch: int = 12
    clips: int = 700
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    seed: int = 0
    save_every: int = 100

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "clips", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} of at least 1; got {getattr(self, name)}")


class CorrectionTrainer(TrainingRun[CorrectionBatch]):
    """One training run in a folder; a second run in the same folder goes on where it stopped."""

    def __init__(self, *, folder: Path, config: CorrectionConfig, device: str) -> None:
        super().__init__(folder=folder, steps=config.steps, save_every=config.save_every)
        self.config = config
        self.device = torch.device(device)
        torch.manual_seed(config.seed)
        self.network = CorrectionNetwork().to(memory_format=torch.channels_last).to(self.device)
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._clips: list[StoredClip] = []
        self.resume()

    def _state(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise ConfigError(
                f"expected {self.checkpoint} to be of this network; {error}: "
                "choose another --out folder"
            ) from error
        self._optimizer.load_state_dict(state["optimizer"])

    def write_weights(self) -> Path:
        """Writes correction.safetensors (fp16), and the same in ONNX beside it; its path."""
        path = self._folder / "correction.safetensors"
        save_correction_network(self.network, path, {**asdict(self.config), "steps": self.step})
        export_correction(load_correction_network(path), path)
        return path

    def run(self, clips: list[StoredClip], *, progress: Callable[[int, float], None]) -> None:
        """Trains up to config.steps; progress is told the step and the recent mean loss."""
        self._clips = clips
        self.network.train()
        self._go(progress)

    def _batches(self) -> Iterator[CorrectionBatch]:
        rng = np.random.default_rng([self.config.seed, self.step])
        while True:
            yield draw_batch(rng, self._clips, size=self.config.batch)

    def _rate(self) -> float:
        warm = warm_up(self.step, WARM_UP_STEPS)
        falling = 0.5 * (1.001 + cosine(self.step, self.config.steps))
        return self.config.learning_rate * warm * falling

    def _train(self, batch: CorrectionBatch) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        with mixed_precision(self.device):
            loss = self._loss(batch)
        return descend(loss, [self.network.parameters()], self._optimizer)

    def _loss(self, batch: CorrectionBatch) -> Tensor:
        anchor, mask = batch.anchor.to(self.device), batch.anchor_mask.to(self.device)
        total = torch.zeros((), device=self.device)
        before: Tensor | None = None
        for step in batch.steps:
            evidence = step.evidence.to(self.device)
            if before is not None:
                moved = F.grid_sample(
                    before[:, None], step.way.to(self.device),
                    padding_mode="border", align_corners=True,
                )  # fmt: skip
                evidence = torch.cat([evidence[:, :1], 2 * moved - 1, evidence[:, 2:]], 1)
            logits, quality = self.network(
                step.picture.to(self.device), anchor, mask, step.origin.to(self.device), evidence
            )
            logits, quality = logits.float(), quality.float()
            total = total + _mask_loss(logits, quality, step.truth.to(self.device))
            before = torch.sigmoid(logits.detach())
        return total / len(batch.steps)


def _mask_loss(logits: Tensor, quality: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy, overlap, and how well the overlap was foretold."""
    masks = torch.sigmoid(logits)
    both = (masks * truth).sum((1, 2))
    either = (masks + truth - masks * truth).sum((1, 2))
    overlap = 1 - (both + SMALL_PX) / (either + SMALL_PX)
    hits = ((logits > 0) & (truth > 0.5)).sum((1, 2))
    union = ((logits > 0) | (truth > 0.5)).sum((1, 2))
    reached = torch.where(union > 0, hits / union.clamp(min=1), 1.0)
    return (
        F.binary_cross_entropy_with_logits(logits, truth)
        + 0.5 * overlap.mean()
        + QUALITY_WEIGHT * F.binary_cross_entropy_with_logits(quality, reached)
    )
