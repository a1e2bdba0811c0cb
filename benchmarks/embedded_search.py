"""Which embedded network to ship: quality against CPU time, on held-out pictures.

python benchmarks/embedded_search.py --data DIR [--weights FILE] [--steps N] [--json FILE]
    [--plot FILE]

Two questions, two kinds of points:

- which backbone and which pyramid: each candidate is trained anew for the same few steps, on the
  same samples, and looked at with the same input size. Short trainings only rank.
- which input size: the finished weights, looked at with each.

Quality is the mean IoU over the classes with at least ten held-out pictures, on every second one;
time is the median of encode and decode of one prompt on a 960x540 frame, by the encoder that a CPU
gets, all models in turn so that a busy moment of the machine meets them all. Prints JSON and draws
the plot in docs/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from promptmatte.bench.machine import machine
from promptmatte.controls import MatteControls
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models.embedded import EmbeddedModel, encoder_path, load_network, save_weights
from promptmatte.models.embedded import weights_path as shipped
from promptmatte.models.embedded_network import EmbeddedNetwork
from promptmatte.models.embedded_words import EmbeddedArchitecture
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.card import summaries
from promptmatte.training.datasets import Dataset, load_datasets
from promptmatte.training.embedded import CONFIG, EmbeddedTrainer, all_concepts, read_config
from promptmatte.training.export import export_encoder
from promptmatte.training.metrics import held_out_scores
from promptmatte.training.plots import TradeOff, trade_off

CANDIDATES = (
    ("tf_efficientnet_lite0", 128, 5, 2),
    ("tf_efficientnet_lite2", 64, 5, 2),
    ("tf_efficientnet_lite2", 128, 5, 2),
    ("tf_efficientnet_lite2", 128, 3, 2),
    ("tf_efficientnet_lite2", 128, 5, 0),
)
"""Backbone, width of the pyramid, kernel of its blocks, layers of attention."""

CANDIDATE_SIDE = 320
SIDES = (256, 320, 352, 384, 448)
MANY = 10
FRAME_HW = (540, 960)
REPEATS = 40


def model_of(network: EmbeddedNetwork, side: int, folder: Path) -> EmbeddedModel:
    """The network as a CPU runs it, with another input size."""
    resized = EmbeddedNetwork(replace(network.architecture, input_side=side))
    resized.load_state_dict(network.state_dict())
    weights = folder / f"{side}.safetensors"
    save_weights(resized, weights, {})
    export_encoder(load_network(weights)[0], encoder_path(weights), weights=weights)
    return EmbeddedModel.load(device="cpu", weights=weights)


def milliseconds(models: Sequence[EmbeddedModel]) -> list[float]:
    """Median time of encode and decode of one prompt, of each."""
    pixels = np.random.default_rng(0).integers(0, 256, (*FRAME_HW, 3), np.uint8)
    frame = Frame(info=FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0), pixels=pixels)
    embedding = models[0].embed(PromptSet(prompts=(Prompt(text="person"),)))
    times: list[list[float]] = [[] for _ in models]
    for _ in range(REPEATS):
        for model, own in zip(models, times, strict=True):
            start = time.perf_counter()
            model.decode(model.encode(frame), embedding)
            own.append(time.perf_counter() - start)
    return [1000 * statistics.median(own) for own in times]


def quality(model: EmbeddedModel, datasets: list[Dataset]) -> float:
    """Mean IoU over the classes with enough pictures; silence counts as nothing found."""
    floor = MatteControls().confidence_floor
    rows = summaries(held_out_scores(model, datasets, part=1), floor).values()
    return float(np.mean([row["miou"] for row in rows if int(row["n"] or 0) >= MANY]))


def trained(
    datasets: list[Dataset], candidate: tuple[str, int, int, int], steps: int, folder: Path
) -> EmbeddedNetwork:
    """A candidate after a short training at a small size."""
    backbone, dim, kernel, attention = candidate
    config, _ = read_config(CONFIG)
    trainer = EmbeddedTrainer(
        datasets=datasets,
        folder=folder,
        config=replace(config, steps=steps, sides=(192, 192), average_decay=0.98),
        architecture=EmbeddedArchitecture(
            concepts=all_concepts(datasets),
            backbone=backbone,
            dim=dim,
            kernel=kernel,
            attention=attention,
        ),
        device="cpu",
    )
    trainer.run(progress=lambda _step, _loss: None)
    return trainer.averaged()


def points(datasets: list[Dataset], weights: Path, steps: int) -> list[TradeOff]:
    """Every candidate and every input size, measured."""
    final, _ = load_network(weights)
    own = final.architecture
    models: list[EmbeddedModel] = []
    found: list[TradeOff] = []

    def add(model: EmbeddedModel, name: str, group: str, *, chosen: bool) -> None:
        models.append(model)
        found.append(
            TradeOff(
                name=name, milliseconds=0.0, quality=quality(model, datasets),
                chosen=chosen, group=group,
            )
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for candidate in CANDIDATES:
            backbone, dim, kernel, attention = candidate
            network = trained(datasets, candidate, steps, folder / "-".join(map(str, candidate)))
            add(
                model_of(network, CANDIDATE_SIDE, folder),
                f"{dim} wide, {kernel}x{kernel}{'' if attention else ', no attention'}",
                f"{backbone.removeprefix('tf_efficientnet_')} after {steps} steps",
                chosen=candidate == (own.backbone, own.dim, own.kernel, own.attention),
            )
        for side in SIDES:
            model = model_of(final, side, folder)
            add(model, str(side), "shipped weights, by input size", chosen=side == own.input_side)
        times = milliseconds(models)
    return [replace(point, milliseconds=ms) for point, ms in zip(found, times, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, draws and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, default=Path("docs/embedded-search.png"))
    options = parser.parse_args(arguments)
    datasets = load_datasets(options.data)
    found = points(datasets, options.weights or shipped(), options.steps)
    trade_off(found, options.plot)
    told = json.dumps({**machine(), "points": [asdict(point) for point in found]}, indent=1)
    if options.json:
        options.json.write_text(told, encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()
