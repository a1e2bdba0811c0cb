"""What a finished training of the projection leaves behind: weights, card, metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from promptmatte.controls import MatteControls
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.prompters.projection import ProjectionPrompter
from promptmatte.models.sam import SamNetwork
from promptmatte.models.sam_clip import SamClipModel
from promptmatte.training.card import concept_rows, floor_rows, metrics_of
from promptmatte.training.datasets import Dataset
from promptmatte.training.metrics import Scores, held_out_scores
from promptmatte.training.projection import ProjectionTrainer


def write_results(
    trainer: ProjectionTrainer,
    *,
    sam: SamNetwork,
    clip: ClipNetwork,
    datasets: list[Dataset],
    folder: Path,
    progress: Callable[[], None],
) -> Path:
    """Writes projection.safetensors, MODEL_CARD.md and metrics.json into a folder; the weights'
    path. The metrics are those of the written file, read back. progress is called once a
    held-out picture.
    """
    path = trainer.write_weights()
    prompter = ProjectionPrompter.load(path, sam=sam, clip=clip)
    model = SamClipModel(sam=sam, clip=clip, prompter=prompter)
    scores = held_out_scores(model, datasets, progress=progress)
    floor = MatteControls().confidence_floor
    card = projection_card(trainer, datasets=datasets, scores=scores, floor=floor)
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    metrics = metrics_of(scores, floor)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    return path


def projection_card(
    trainer: ProjectionTrainer, *, datasets: list[Dataset], scores: Scores, floor: float
) -> str:
    """The card as Markdown: what it fits, how it was made, held-out metrics."""
    config, architecture = trainer.config, trainer.architecture
    kind = "picture and text" if architecture.image_conditioned else "text alone"
    names = ", ".join(f"{d.name} ({d.policy.terms})" for d in datasets)
    lines = [
        "# Projection",
        "",
        f"For {trainer.fit} and no other models. Prompts come from {kind}. Made by `promptmatte "
        f"train projection`: {config.steps} steps without names and {config.text_steps} with, of "
        f"{config.batch} pictures, {config.variants} variants each, seed {config.seed}, on "
        f"{trainer.device.type}.",
        "",
        f"Data and terms: {names}.",
        "",
        "Held-out pictures: one in six scenes where names tell scenes, else 15 % of each set in "
        f"blocks; mattes below a confidence of {floor} are empty.",
        "",
        *concept_rows(scores, floor),
        "",
        *floor_rows(scores),
        "",
    ]
    return "\n".join(lines)
