"""Training of the projection between a frozen CLIP and a frozen SAM: seeded and resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from promptmatte.errors import ConfigError, DataError
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.prompters.projection_network import (
    ProjectionArchitecture,
    ProjectionNetwork,
)
from promptmatte.models.prompters.projection_weights import Fit, save_projection
from promptmatte.models.sam import SamNetwork
from promptmatte.models.vocabulary import vocabulary
from promptmatte.training.datasets import Dataset
from promptmatte.training.losses import mask_iou, mask_losses
from promptmatte.training.mixed_precision import mixed_precision
from promptmatte.training.projection_features import FeatureStore, Variant
from promptmatte.training.projection_samples import BatchSource, Looks, Names, ProjectionBatch
from promptmatte.training.run import TrainingRun, cosine, descend, follow, warm_up

WEIGHTS_NAME = "projection.safetensors"
WARM_UP_STEPS = 60
EMA_DECAY = 0.997
GATES_RATE = 25.0
"""Learning rate of the gates beside that of the weights: Adam moves a value by about its rate a
step, which would take a gate thousands of steps from 0 to 1."""

LIKENESS = ("keys.", "key_query.", "likeness_")
TEXTS_AT_ONCE = 32
CENTRE_VARIANTS = 256
"""How many pictures make the mean of CLIP's dense features."""


@dataclass(frozen=True, kw_only=True)
class ProjectionConfig:
    """What decides a training run; stored in its checkpoints.

    steps: of the first stage, where CLIP's image embeddings of things stand in for text and no
    names are used; text_steps: of the second, with names. variants: of each picture, the plain
    one among them. image_conditioned, tokens: see ProjectionArchitecture. noise: see Looks.
    """

    steps: int = 2000
    text_steps: int = 2000
    batch: int = 8
    queries: int = 3
    variants: int = 2
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    noise: float = 0.6
    image_conditioned: bool = True
    tokens: int = 1
    seed: int = 0
    save_every: int = 100

    def __post_init__(self) -> None:
        for name in ("batch", "queries", "variants", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} of at least 1; got {getattr(self, name)}")
        if min(self.steps, self.text_steps) < 0 or self.all_steps < 1:
            raise ConfigError(
                f"expected steps and text_steps of 0 or more, together at least 1; got "
                f"{self.steps} and {self.text_steps}"
            )

    @property
    def all_steps(self) -> int:
        """Steps of both stages."""
        return self.steps + self.text_steps


class ProjectionTrainer(TrainingRun[ProjectionBatch]):
    """One training run in a folder; a second run in the same folder goes on where it stopped.

    sam and clip stay as they are. What they make of the pictures is kept in folder/features.
    """

    def __init__(
        self,
        *,
        sam: SamNetwork,
        clip: ClipNetwork,
        datasets: list[Dataset],
        folder: Path,
        config: ProjectionConfig,
        device: str,
    ) -> None:
        super().__init__(folder=folder, steps=config.all_steps, save_every=config.save_every)
        self.config = config
        self.device = torch.device(device)
        self.fit = Fit.of(sam, clip)
        self._sam = sam
        self._clip = clip
        self._datasets = datasets
        self._variants = [
            Variant(dataset=dataset, picture=picture, index=index)
            for dataset in datasets
            for picture in dataset.split()[0]
            for index in range(config.variants)
        ]
        self._store = FeatureStore(folder / "features", sam=sam, clip=clip, seed=config.seed)
        self._source: BatchSource | None = None
        self.architecture = ProjectionArchitecture(
            text_dim=clip.dim,
            prompt_dim=sam.dim,
            image_conditioned=config.image_conditioned,
            tokens=config.tokens,
        )
        torch.manual_seed(config.seed)
        self.network = ProjectionNetwork(self.architecture).to(self.device)
        self._average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self._optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=config.learning_rate, fused=self.device.type != "mps"
        )
        self.resume()

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """The likeness map, which has a loss of its own; the gates; all else."""
        named = list(self.network.named_parameters())
        likeness = [v for name, v in named if name.startswith(LIKENESS)]
        gates = [v for name, v in named if name == "gates"]
        rest = [v for name, v in named if not name.startswith((*LIKENESS, "gates"))]
        decay = self.config.weight_decay
        groups = [
            {"params": rest, "scale": 1.0, "weight_decay": decay},
            {"params": likeness, "scale": 1.0, "weight_decay": decay},
            {"params": gates, "scale": GATES_RATE, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def _state(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.as_dict(),
            "fit": asdict(self.fit),
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        made_for = Fit(**state["fit"])
        if state["architecture"] != self.architecture.as_dict() or made_for != self.fit:
            raise ConfigError(
                f"expected {self.checkpoint} to be of this projection for {self.fit}; got "
                f"{state['architecture']} for {made_for}: choose another --out folder"
            )
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise ConfigError(
                f"expected {self.checkpoint} to be of this network; {error}: choose another "
                "--out folder"
            ) from error
        self._average = {k: v.to(self.device) for k, v in state["average"].items()}
        self._optimizer.load_state_dict(state["optimizer"])

    def averaged(self) -> ProjectionNetwork:
        """A network with the running average of the weights, for use and evaluation."""
        network = ProjectionNetwork(self.architecture)
        network.load_state_dict(self._average)
        return network.eval().requires_grad_(requires_grad=False)

    def write_weights(self) -> Path:
        """Writes projection.safetensors (fp16) and returns its path."""
        path = self._folder / WEIGHTS_NAME
        metadata = {
            **asdict(self.config),
            "trained_steps": self.step,
            "device": self.device.type,
            "data": [dataset.name for dataset in self._datasets],
        }
        save_projection(self.averaged(), path, fit=self.fit, metadata=metadata)
        return path

    def encode(self, *, progress: Callable[[int, int], None]) -> None:
        """Encodes what is not yet in folder/features; progress is told how many of how many.
        DataError when the disk is full or the masks show nothing."""
        self._store.fill(self._variants, progress)
        vectors = {variant: self._store.vectors(variant) for variant in self._variants}
        if not any(len(own) for own in vectors.values()):
            raise DataError(
                "expected masks with things of at least 0.5 % of their picture; found none: give "
                "another --data folder"
            )
        phrases = Names.phrases(self._datasets, seed=self.config.seed)
        if self.step == 0:
            self._set_centres()
        self._source = BatchSource(
            store=self._store,
            variants=self._variants,
            looks=Looks(vectors, noise=self.config.noise, seed=self.config.seed),
            names=Names(self._words(phrases) if self.config.text_steps else {}),
        )

    def run(self, *, progress: Callable[[int, float], None]) -> None:
        """Trains both stages, encoding first; progress is told the step and the recent loss."""
        if self.step >= self.config.all_steps:
            return
        if self._source is None:
            self.encode(progress=lambda _done, _count: None)
        self.network.train()
        self._go(progress)

    def _set_centres(self) -> None:
        """The mean of texts, of everyday words and not of the data's, and of dense features."""
        texts = self._texts(list(vocabulary()))
        some = self._variants[:: max(1, len(self._variants) // CENTRE_VARIANTS)]
        dense = [self._store.read(v).clip.astype(np.float32).mean(axis=(1, 2)) for v in some]
        self.network.text_centre.copy_(texts.mean(dim=0))
        self.network.dense_centre.copy_(torch.from_numpy(np.mean(dense, axis=0)))
        for name in ("text_centre", "dense_centre"):
            self._average[name].copy_(getattr(self.network, name))

    def _texts(self, phrases: list[str]) -> Tensor:
        parts = [
            self._clip.texts(phrases[start : start + TEXTS_AT_ONCE])
            for start in range(0, len(phrases), TEXTS_AT_ONCE)
        ]
        return torch.cat(parts).to(self.device)

    @torch.no_grad()
    def _words(self, phrases: dict[str, tuple[str, ...]]) -> dict[str, np.ndarray[Any, Any]]:
        texts = [text for own in phrases.values() for text in own]
        words = iter(self.network.words(self._texts(texts)).cpu().numpy())
        return {c: np.stack([next(words) for _ in own]) for c, own in phrases.items()}

    def _batches(self) -> Iterator[ProjectionBatch]:
        source, config = self._source, self.config
        step = self.step
        while source is not None:
            rng = np.random.default_rng([config.seed, step])
            yield source.draw(
                rng, pictures=config.batch, queries=config.queries, by_name=step >= config.steps
            )
            step += 1

    def _train(self, batch: ProjectionBatch) -> float:
        warm = warm_up(self.step, WARM_UP_STEPS)
        falling = 0.02 + 0.98 * 0.5 * (1 + cosine(self.step, self.config.all_steps))
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate * warm * falling * group["scale"]
        # Each part by itself, or one with large gradients would still the others.
        parts = [group["params"] for group in self._optimizer.param_groups]
        value = descend(self._loss(batch.to(self.device)), parts, self._optimizer)
        follow(self._average, self.network, step=self.step, most_decay=EMA_DECAY)
        return value

    def _loss(self, batch: ProjectionBatch) -> Tensor:
        with mixed_precision(self.device):
            found = self.network.decode(self._sam, batch.features, batch.words, batch.rows)
        masks = found.masks.float()
        truth = (batch.target, batch.valid, batch.present)
        losses = mask_losses(masks, *truth)
        loss = 0.3 * losses.min(dim=1).values.mean() + 0.7 * losses.mean()
        # Not the squared error: it has no gradient once all quality is 0, which with half of the
        # prompts absent it came to be.
        reached = mask_iou(masks, batch.target, batch.valid)
        loss = loss + F.binary_cross_entropy_with_logits(found.quality_logits.float(), reached)
        if found.coarse is not None:
            loss = loss + mask_losses(found.coarse.float().unsqueeze(1), *truth).mean()
        return loss
