"""What a finished training run leaves behind: weights, encoder, model card, metrics, plots."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from promptmatte.controls import MatteControls
from promptmatte.models.embedded import EmbeddedModel, encoder_path, load_network, save_weights
from promptmatte.training.bars import bars
from promptmatte.training.calibration import confidences, fitted
from promptmatte.training.card import metrics_of, model_card
from promptmatte.training.colour_pairs import colour_pairs, picked_right
from promptmatte.training.datasets import Dataset
from promptmatte.training.embedded import EmbeddedTrainer
from promptmatte.training.export import export_encoder
from promptmatte.training.metrics import held_out_scores, merged
from promptmatte.training.plots import loss_curve, reliability
from promptmatte.training.sheet import held_out_sheet

WEIGHTS_NAME = "embedded.safetensors"
COLOUR_PAIRS = 100


def pictures_looked_at(datasets: list[Dataset]) -> int:
    """How often write_results calls its progress: once a held-out picture, and once more for
    those that the calibration is fitted to."""
    held_out = [len(dataset.split()[1]) for dataset in datasets]
    return sum(count + (count + 1) // 2 for count in held_out)


def write_results(
    trainer: EmbeddedTrainer, datasets: list[Dataset], folder: Path, *, progress: Callable[[], None]
) -> None:
    """Writes embedded.safetensors (fp16), embedded.onnx, loss.png and what write_card does.

    The confidence is calibrated on one half of the held-out pictures. progress is called once a
    picture that is looked at.
    """
    metadata = {
        **asdict(trainer.config),
        "steps": trainer.step,
        "backbone": trainer.architecture.backbone,
        "input_side": trainer.architecture.input_side,
        "words": len(trainer.architecture.concepts),
        "device": trainer.device.type,
        "data": [dataset.name for dataset in datasets],
        "before": trainer.before,
    }
    network = trainer.averaged()
    plain = held_out_scores(EmbeddedModel(network), datasets, part=0, progress=progress)
    calibration = fitted(*confidences(plain))
    weights = folder / WEIGHTS_NAME
    save_weights(network, weights, {**metadata, "calibration": calibration})
    export_encoder(load_network(weights)[0], encoder_path(weights), weights=weights)
    loss_curve(trainer.losses, folder / "loss.png")
    write_card(weights, datasets, folder, progress=progress)


def write_card(
    weights: Path, datasets: list[Dataset], folder: Path, *, progress: Callable[[], None]
) -> None:
    """Measures weights, with their encoder, on the held-out pictures; writes MODEL_CARD.md,
    metrics.json, reliability.png and held-out.png into a folder.

    The reliability is that on the half of the pictures that the confidence was not fitted to.
    """
    metadata = load_network(weights)[1]
    calibration = metadata["calibration"]
    model = EmbeddedModel.load(device="cpu", weights=weights)
    one_half, other_half = (
        held_out_scores(model, datasets, part=part, progress=progress) for part in (0, 1)
    )
    scores = merged(one_half, other_half)
    error = reliability(*confidences(other_half), folder / "reliability.png")
    floor = MatteControls().confidence_floor
    picked = picked_right(model, colour_pairs(datasets, count=COLOUR_PAIRS), floor=floor)
    demands = bars(scores, picked, floor)
    rows = held_out_sheet(model, datasets, folder / "held-out.png")
    card = model_card(
        datasets=datasets, scores=scores, floor=floor, metadata=metadata, demands=demands,
        calibration_error=error, looked_at=rows,
    )  # fmt: skip
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    metrics = metrics_of(scores, floor) | {
        "bars": [{**asdict(bar), "met": bar.met} for bar in demands],
        "calibration": {"slope": calibration[0], "offset": calibration[1], "error": error},
        "sheet": [asdict(row) for row in rows],
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
