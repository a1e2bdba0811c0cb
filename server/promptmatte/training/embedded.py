"""Training of the embedded model: seeded, resumable, on a CPU or a GPU."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from promptmatte.errors import ConfigError
from promptmatte.models.embedded_network import EmbeddedArchitecture, EmbeddedNetwork
from promptmatte.training.backbone import load_imagenet_weights
from promptmatte.training.datasets import Dataset
from promptmatte.training.losses import prompt_loss
from promptmatte.training.run import TrainingRun, cosine, descend, follow, warm_up
from promptmatte.training.samples import Sample, Sampler, read_labelled
from promptmatte.training.text_stage import all_concepts, train_text_tower

WARM_UP_STEPS = 60
EMA_DECAY = 0.997


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What decides a training run; stored in its checkpoints."""

    steps: int = 1400
    batch: int = 8
    queries: int = 3
    learning_rate: float = 4e-4
    backbone_rate: float = 0.3
    text_steps: int = 250
    weight_decay: float = 0.02
    seed: int = 0
    save_every: int = 200
    imagenet_start: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "queries", "save_every", "text_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} of at least 1; got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Samples as tensors; queries of all pictures in one row, counts [B] say whose they are."""

    pixels: Tensor
    counts: Tensor
    texts: list[str]
    target: Tensor
    valid: Tensor
    present: Tensor

    @classmethod
    def of(cls, samples: list[Sample]) -> Batch:
        """The batch of samples of one size."""
        queries = [query for sample in samples for query in sample.queries]
        return cls(
            pixels=torch.from_numpy(np.stack([s.pixels for s in samples])).permute(0, 3, 1, 2),
            counts=torch.tensor([len(s.queries) for s in samples]),
            texts=[q.text for q in queries],
            target=torch.from_numpy(np.stack([q.target for q in queries])),
            valid=torch.from_numpy(np.stack([q.valid for q in queries])),
            present=torch.tensor([q.present for q in queries]),
        )


class EmbeddedTrainer(TrainingRun[Batch]):
    """One training run in a folder; a second run in the same folder goes on where it stopped."""

    def __init__(
        self,
        *,
        datasets: list[Dataset],
        folder: Path,
        config: TrainingConfig,
        architecture: EmbeddedArchitecture,
        device: str,
    ) -> None:
        super().__init__(folder=folder, steps=config.steps, save_every=config.save_every)
        self.config = config
        self.architecture = architecture
        self.device = torch.device(device)
        self._datasets = datasets
        torch.manual_seed(config.seed)
        self.network = EmbeddedNetwork(architecture)
        if config.imagenet_start:
            load_imagenet_weights(self.network.backbone)
        self.network.to(memory_format=torch.channels_last).to(self.device)
        self.network.text_tower.requires_grad_(requires_grad=False)
        self._average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self._optimizer = torch.optim.AdamW(
            self._parameter_groups(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=device != "mps",
        )
        self.resume()

    def _parameter_groups(self) -> list[dict[str, Any]]:
        backbone = list(self.network.backbone.parameters())
        known = {id(p) for p in backbone}
        rest = [p for p in self.network.parameters() if id(p) not in known and p.requires_grad]
        return [
            {"params": backbone, "scale": self.config.backbone_rate},
            {"params": rest, "scale": 1.0},
        ]

    def _state(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.as_dict(),
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        if state["architecture"] != self.architecture.as_dict():
            raise ConfigError(
                f"expected {self.checkpoint} to be of this architecture; got "
                f"{state['architecture']}: choose another --out folder"
            )
        self.network.load_state_dict(state["network"])
        self._average = {k: v.to(self.device) for k, v in state["average"].items()}
        self._optimizer.load_state_dict(state["optimizer"])

    def averaged(self) -> EmbeddedNetwork:
        """A network with the running average of the weights, for use and evaluation."""
        network = EmbeddedNetwork(self.architecture)
        network.load_state_dict(self._average)
        return network.eval()

    def run_text_stage(self, *, progress: Callable[[int, float], None]) -> None:
        """Trains the text tower, unless a checkpoint says that it is done; progress is told the
        step and the share of prompts understood."""
        if self.step > 0:
            return
        tower = self.network.text_tower.requires_grad_(requires_grad=True)
        train_text_tower(
            tower,
            all_concepts(self._datasets),
            steps=self.config.text_steps,
            seed=self.config.seed,
            progress=progress,
        )
        tower.requires_grad_(requires_grad=False)
        for name, value in tower.state_dict().items():
            self._average[f"text_tower.{name}"].copy_(value)

    def run(self, *, progress: Callable[[int, float], None]) -> None:
        """Trains up to config.steps; progress is told the step and the recent mean loss."""
        self.network.train()
        for module in self.network.backbone.modules():
            # Batches are too small and too mixed for statistics: ImageNet's are kept.
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        self._go(progress)

    def _rate(self) -> float:
        warm = warm_up(self.step, WARM_UP_STEPS)
        falling = 0.02 + 0.98 * 0.5 * (1 + cosine(self.step, self.config.steps))
        return self.config.learning_rate * warm * falling

    def _train(self, batch: Batch) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate() * group["scale"]
        pixels = batch.pixels.to(self.device).float().contiguous(memory_format=torch.channels_last)
        ids = self.network.text_tower.tokenize(batch.texts).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type != "mps"):
            features = self.network.encode_image(pixels)
            tokens = self.network.encode_text(ids)
            logits, quality = self.network.decode(
                features.repeated(batch.counts.to(self.device)), tokens
            )
        loss = prompt_loss(
            logits.float(),
            quality.float(),
            batch.target.to(self.device),
            batch.valid.to(self.device),
            batch.present.to(self.device),
        )
        value = descend(loss, [self.network.parameters()], self._optimizer)
        follow(self._average, self.network, step=self.step, most_decay=EMA_DECAY)
        return value

    def _sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple(self.architecture.input_hw(*shape) for shape in ((9, 16), (1, 1), (4, 3)))

    def _batches(self) -> Iterator[Batch]:
        pictures = [
            read_labelled(dataset, picture, long_side=self.architecture.input_side * 5 // 4)
            for dataset in self._datasets
            for picture in dataset.split()[0]
        ]
        seed = self.config.seed + self.step
        sampler = Sampler(pictures, seed=seed, queries=self.config.queries)
        sizes = random.Random(seed)
        while True:
            size_hw = sizes.choices(self._sizes(), (0.45, 0.35, 0.2))[0]
            yield Batch.of([sampler.draw(size_hw) for _ in range(self.config.batch)])
