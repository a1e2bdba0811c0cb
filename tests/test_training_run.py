"""What every training run does: steps, checkpoints, going on, and the pace of learning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from promptmatte.training.run import TrainingRun, cosine, descend, follow, warm_up
from torch import Tensor, nn


class LineRun(TrainingRun[Tensor]):
    """Fits a line to y = 3 x; a batch is drawn from its step alone."""

    def __init__(self, folder: Path, *, steps: int, save_every: int = 1000) -> None:
        super().__init__(folder=folder, steps=steps, save_every=save_every)
        torch.manual_seed(1)
        self.network = nn.Linear(1, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.resume()

    def _state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _batches(self) -> Iterator[Tensor]:
        step = self.step
        while True:
            yield torch.randn(8, 1, generator=torch.Generator().manual_seed(step))
            step += 1

    def _train(self, batch: Tensor) -> float:
        loss = (self.network(batch) - 3 * batch).square().mean()
        return descend(loss, [self.network.parameters()], self.optimizer)

    def run(self, until: int = 10_000) -> None:
        def stop(step: int, loss: float) -> None:
            if step == until:
                raise KeyboardInterrupt

        self._go(stop)


def test_a_run_learns_and_leaves_its_losses(tmp_path: Path) -> None:
    run = LineRun(tmp_path / "new" / "folder", steps=60)
    run.run()
    assert run.step == len(run.losses) == 60
    assert run.losses[-1] < 0.1 * run.losses[0]
    written = json.loads((tmp_path / "new" / "folder" / "losses.json").read_text())
    assert written == [round(loss, 5) for loss in run.losses]


def test_a_stopped_run_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = LineRun(tmp_path / "whole", steps=12)
    whole.run()
    first = LineRun(tmp_path / "parts", steps=12, save_every=5)
    with pytest.raises(KeyboardInterrupt):
        first.run(until=8)
    second = LineRun(tmp_path / "parts", steps=12)
    assert second.step == 5
    second.run()
    assert second.losses == whole.losses
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value)


def test_a_finished_run_trains_no_more(tmp_path: Path) -> None:
    LineRun(tmp_path, steps=3).run()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    again = LineRun(tmp_path, steps=3)
    again.run()
    assert again.step == 3
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_checkpoint_cut_off_while_it_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    LineRun(tmp_path, steps=3).run()
    (tmp_path / "checkpoint.partial").write_bytes(b"half of a checkp")
    assert LineRun(tmp_path, steps=5).step == 3


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    assert [warm_up(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert cosine(0, 10) == 1.0
    assert cosine(5, 10) == pytest.approx(0.0, abs=1e-12)
    assert cosine(10, 10) == cosine(99, 10) == -1.0


def test_the_average_follows_fast_at_first_and_leaves_frozen_weights_alone() -> None:
    network = nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    network.bias.requires_grad_(requires_grad=False)
    average = {"weight": torch.zeros(1, 1), "bias": torch.full((1,), 7.0)}
    follow(average, network, step=0, most_decay=0.99)
    assert average["weight"].item() == pytest.approx(0.9)
    follow(average, network, step=100_000, most_decay=0.99)
    assert average["weight"].item() == pytest.approx(0.901)
    assert average["bias"].item() == 7.0
