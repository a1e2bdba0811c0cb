"""What a finished training run leaves behind: weights, model card, metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from promptmatte.controls import MatteControls
from promptmatte.models.embedded import EmbeddedModel, load_network, save_weights
from promptmatte.training.card import metrics_of, model_card
from promptmatte.training.datasets import Dataset
from promptmatte.training.embedded import EmbeddedTrainer
from promptmatte.training.metrics import held_out_scores

WEIGHTS_NAME = "embedded.safetensors"


def write_results(
    trainer: EmbeddedTrainer, datasets: list[Dataset], folder: Path, *, progress: Callable[[], None]
) -> None:
    """Writes embedded.safetensors (fp16), MODEL_CARD.md and metrics.json into a folder.

    The metrics are those of the written file, read back. progress is called once a held-out
    picture.
    """
    metadata = {
        **asdict(trainer.config),
        "steps": trainer.step,
        "input_side": trainer.architecture.input_side,
        "device": trainer.device.type,
        "data": [dataset.name for dataset in datasets],
    }
    weights = folder / WEIGHTS_NAME
    save_weights(trainer.averaged(), weights, metadata)
    model = EmbeddedModel(load_network(weights), device=str(trainer.device))
    scores = held_out_scores(model, datasets, progress=progress)
    floor = MatteControls().confidence_floor
    card = model_card(datasets=datasets, scores=scores, floor=floor, metadata=metadata)
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    metrics = metrics_of(scores, floor)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
