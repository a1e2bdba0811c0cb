"""Training of the embedded model: seeded, resumable, on a CPU or a GPU."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from promptmatte.errors import ConfigError
from promptmatte.models.embedded import load_network
from promptmatte.models.embedded_network import EmbeddedNetwork
from promptmatte.models.embedded_words import EmbeddedArchitecture, ImageFeatures, sized
from promptmatte.training.backbone import load_imagenet_weights
from promptmatte.training.datasets import Dataset
from promptmatte.training.losses import colour_loss, concept_loss, presence_loss
from promptmatte.training.mixed_precision import mixed_precision
from promptmatte.training.run import TrainingRun, cosine, descend, warm_up
from promptmatte.training.samples import Sample, Sampler, read_labelled

CONFIG = Path(__file__).parent / "embedded.toml"
"""What the shipped weights were trained with."""

BY_WORD = ("words", "word_bias", "presence_words", "presence_bias")
"""Parameters of the network that have a row a word."""

SHAPES = ((9, 16), (1, 1), (3, 4), (4, 3), (3, 2))
SHAPE_WEIGHTS = (0.35, 0.2, 0.15, 0.15, 0.15)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What decides a training run; stored in its checkpoints.

    sides: the side of the square of a sample's area, in pixels, in the first steps and from
    fine_from (a share of the steps) on. frozen_blocks: how many of the backbone's first blocks
    keep ImageNet's weights, whose gradients at full size cost the most.
    """

    steps: int = 4000
    batch: int = 8
    queries: int = 12
    learning_rate: float = 1e-3
    backbone_rate: float = 0.25
    weight_decay: float = 0.02
    average_decay: float = 0.998
    sides: tuple[int, int] = (256, 320)
    fine_from: float = 0.75
    frozen_blocks: int = 2
    emphasis: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    save_every: int = 200
    imagenet_start: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "queries", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} of at least 1; got {getattr(self, name)}")


def read_config(path: Path) -> tuple[TrainingConfig, dict[str, Any]]:
    """The training config of a TOML file, and its [architecture]; ConfigError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        training, architecture = dict(content["training"]), dict(content["architecture"])
        if "sides" in training:
            training["sides"] = tuple(training["sides"])
        EmbeddedArchitecture(concepts=(), **architecture)
        return TrainingConfig(**training), architecture
    except ConfigError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"expected {path} to be a training config; {error}") from error


def all_concepts(datasets: list[Dataset]) -> tuple[str, ...]:
    """Every concept of some data sets, in order of the alphabet."""
    return tuple(sorted({c for dataset in datasets for c in dataset.concepts}))


def start_from(network: EmbeddedNetwork, path: Path) -> dict[str, Any]:
    """Takes over from a weights file all that the network has of it too, words by their names;
    the metadata of the file.

    What the file lacks stays as it is: words that are new, layers that are new. ConfigError for
    weights of another backbone or width; ModelError for a file that cannot be read.
    """
    known, metadata = load_network(path)
    own, other = network.architecture, known.architecture
    if (own.backbone, own.dim, own.kernel) != (other.backbone, other.dim, other.kernel):
        raise ConfigError(
            f"expected weights of {own.backbone}, {own.dim} wide, kernel {own.kernel}, to start "
            f"from; {path} is of {other.backbone}, {other.dim}, {other.kernel}"
        )
    values = known.state_dict()
    shared = [word for word in own.concepts if word in other.concepts]
    to = [own.concepts.index(word) for word in shared]
    taken = [other.concepts.index(word) for word in shared]
    for name, value in network.state_dict().items():
        if name in BY_WORD:
            value[to] = values[name][taken]
        elif name in values:
            value.copy_(values[name])
    return metadata


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Samples as tensors, see Sample: pixels uint8 [B, 3, H, W], the others with B in front."""

    pixels: Tensor
    concepts: Tensor
    target: Tensor
    valid: Tensor
    present: Tensor
    there: Tensor
    colour: Tensor

    @classmethod
    def of(cls, samples: list[Sample]) -> Batch:
        """The batch of samples of one size."""
        return cls(
            pixels=torch.from_numpy(np.stack([s.pixels for s in samples])).permute(0, 3, 1, 2),
            concepts=torch.from_numpy(np.stack([s.concepts for s in samples])),
            target=torch.from_numpy(np.stack([s.target for s in samples])),
            valid=torch.from_numpy(np.stack([s.valid for s in samples])),
            present=torch.from_numpy(np.stack([s.present for s in samples])),
            there=torch.from_numpy(np.stack([s.there for s in samples])),
            colour=torch.from_numpy(np.stack([s.colour for s in samples])),
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
        start: Path | None = None,
    ) -> None:
        """start: finished weights to go on from, in place of ImageNet's; ModelError, ConfigError.

        before: the metadata of those weights.
        """
        super().__init__(folder=folder, steps=config.steps, save_every=config.save_every)
        self.config = config
        self.architecture = architecture
        self.device = torch.device(device)
        self._datasets = datasets
        weights = [config.emphasis.get(concept, 1.0) for concept in architecture.concepts]
        self._emphasis = torch.tensor(weights, device=self.device)
        self._every = torch.arange(len(weights), device=self.device)
        torch.manual_seed(config.seed)
        self.network = EmbeddedNetwork(architecture)
        self.before: dict[str, Any] = {}
        if start is not None:
            self.before = start_from(self.network, start)
        elif config.imagenet_start:
            load_imagenet_weights(self.network.backbone, architecture.backbone)
        self.network.to(memory_format=torch.channels_last).to(self.device)
        self._freeze()
        self._average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self._optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=config.learning_rate, fused=device != "mps"
        )
        self.resume()

    def _freeze(self) -> None:
        backbone = self.network.backbone
        for module in (backbone.conv_stem, backbone.bn1, *backbone.blocks):
            module.requires_grad_(module not in (backbone.conv_stem, backbone.bn1)
                                  or not self.config.frozen_blocks)  # fmt: skip
        for block in backbone.blocks[: self.config.frozen_blocks]:
            block.requires_grad_(requires_grad=False)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """The backbone at a rate of its own; vectors and biases without decay."""
        decay = self.config.weight_decay
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                scale = self.config.backbone_rate if name.startswith("backbone.") else 1.0
                own = decay if parameter.ndim > 1 and "words" not in name else 0.0
                groups.setdefault((scale, own), []).append(parameter)
        return [
            {"params": own, "scale": scale, "weight_decay": decay}
            for (scale, decay), own in groups.items()
        ]

    def _state(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.as_dict(),
            "config": asdict(self.config),
            "before": self.before,
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
        self.before = state["before"]
        self.network.load_state_dict(state["network"])
        self._average = {k: v.to(self.device) for k, v in state["average"].items()}
        self._optimizer.load_state_dict(state["optimizer"])

    def averaged(self) -> EmbeddedNetwork:
        """A network with the running average of the weights, for use and evaluation."""
        network = EmbeddedNetwork(self.architecture)
        network.load_state_dict(self._average)
        return network.eval()

    def run(self, *, progress: Callable[[int, float], None]) -> None:
        """Trains up to config.steps; progress is told the step and the recent mean loss."""
        self.network.train()
        # ImageNet's statistics are kept: batches are too small and too mixed for new ones.
        self.network.backbone.eval()
        self._go(progress)

    def _rate(self) -> float:
        warm = warm_up(self.step, min(200, self.config.steps // 10 + 1))
        falling = 0.01 + 0.99 * 0.5 * (1 + cosine(self.step, self.config.steps))
        return self.config.learning_rate * warm * falling

    def _train(self, batch: Batch) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate() * group["scale"]
        pixels = batch.pixels.to(self.device).float().contiguous(memory_format=torch.channels_last)
        concepts = batch.concepts.to(self.device)
        with mixed_precision(self.device):
            features = self.network.encode_image(pixels)
        features = ImageFeatures(pixels=features.pixels.float(), summary=features.summary.float())
        masks = self.network.masks(features, concepts)
        loss = concept_loss(
            masks,
            batch.target.to(self.device).float() / 255,
            batch.valid.to(self.device).float() / 255,
            batch.present.to(self.device),
            self._emphasis[concepts],
        )
        loss = loss + presence_loss(self._presence(features), batch.there.to(self.device))
        loss = loss + colour_loss(
            self.network.colour_logits(features), batch.colour.to(self.device).long()
        )
        value = descend(loss, [self.network.parameters()], self._optimizer)
        self._follow()
        return value

    def _presence(self, features: ImageFeatures) -> Tensor:
        """Logits [B, C] of every concept being there."""
        every = self._every.expand(len(features.pixels), -1)
        return self.network.presence(features, every, self.network.masks(features, every))

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the average towards the weights of this step; faster at the start."""
        decay = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            average = self._average[name]
            if value.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    def _batches(self) -> Iterator[Batch]:
        pictures = [
            read_labelled(dataset, picture, long_side=max(512, self.config.sides[1]))
            for dataset in self._datasets
            for picture in dataset.split()[0]
        ]
        seed = self.config.seed + self.step
        sampler = Sampler(
            pictures, concepts=self.architecture.concepts, seed=seed, queries=self.config.queries
        )
        shapes = random.Random(seed)
        step = self.step
        while True:
            fine = step >= self.config.fine_from * self.config.steps
            shape = shapes.choices(SHAPES, SHAPE_WEIGHTS)[0]
            size_hw = sized(self.config.sides[fine], *shape)
            yield Batch.of([sampler.draw(size_hw) for _ in range(self.config.batch)])
            step += 1
