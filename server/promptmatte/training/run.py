"""A training run in a folder: its steps, checkpoint and losses, and what trainers share."""

from __future__ import annotations

import json
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from promptmatte.training.prefetch import prefetched

log = logging.getLogger(__name__)

B = TypeVar("B")

RECENT_STEPS = 50
"""Over how many steps the loss that is shown is the mean."""


class TrainingRun(ABC, Generic[B]):
    """One training run in a folder; a second run in the same folder goes on where it stopped.

    A trainer of its own makes what it trains, then calls resume(). B: what a batch is.
    """

    def __init__(self, *, folder: Path, steps: int, save_every: int) -> None:
        self.step = 0
        self.losses: list[float] = []
        self._folder = folder
        self._steps = steps
        self._save_every = save_every
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """The file a stopped run resumes from."""
        return self._folder / "checkpoint.pt"

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds besides step and losses: tensors and plain values."""

    @abstractmethod
    def _restore(self, state: dict[str, Any]) -> None:
        """Takes over what _state gave; ConfigError for that of another run."""

    @abstractmethod
    def _batches(self) -> Iterator[B]:
        """Batches without end, from self.step on; drawn on another thread."""

    @abstractmethod
    def _train(self, batch: B) -> float:
        """The loss of one batch, after a step of the optimiser on it."""

    def resume(self) -> None:
        """Goes back to the checkpoint, if there is one; ConfigError for that of another run."""
        if not self.checkpoint.is_file():
            return
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self._restore(state)
        self.step, self.losses = state["step"], state["losses"]
        log.info("resumed %s at step %d", self.checkpoint, self.step)

    def save(self) -> None:
        """Writes the checkpoint; a crash meanwhile leaves the one before."""
        partial = self.checkpoint.with_suffix(".partial")
        torch.save({**self._state(), "step": self.step, "losses": self.losses}, partial)
        partial.replace(self.checkpoint)
        losses = json.dumps([round(loss, 5) for loss in self.losses])
        (self._folder / "losses.json").write_text(losses, encoding="utf-8")

    def _go(self, progress: Callable[[int, float], None]) -> None:
        """Trains up to the last step; progress is told the step and the recent mean loss."""
        if self.step >= self._steps:
            return
        with prefetched(self._batches()) as batches:
            while self.step < self._steps:
                self.losses.append(self._train(next(batches)))
                self.step += 1
                if self.step % self._save_every == 0:
                    self.save()
                progress(self.step, float(np.mean(self.losses[-RECENT_STEPS:])))
        self.save()


def warm_up(step: int, steps: int) -> float:
    """The share of the learning rate, up to 1, in the first steps."""
    return min(1.0, (step + 1) / steps)


def cosine(step: int, steps: int) -> float:
    """From 1 at the first step down to -1 at the last (Loshchilov and Hutter 2016)."""
    return math.cos(math.pi * min(1.0, step / steps))


def descend(
    loss: Tensor, parts: Iterable[Iterable[nn.Parameter]], optimizer: torch.optim.Optimizer
) -> float:
    """The loss, after a step down its gradient; that of each part is clipped to a norm of 1."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for part in parts:
        nn.utils.clip_grad_norm_(part, 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def follow(average: dict[str, Tensor], network: nn.Module, *, step: int, most_decay: float) -> None:
    """Moves a running average of the weights towards those of a step; faster at the start."""
    decay = min(most_decay, (1 + step) / (10 + step))
    for name, value in network.named_parameters():
        if value.requires_grad:
            average[name].lerp_(value, 1 - decay)
