"""Trains what is missing of the tiny pair and prints the table of what its prompters find.

python -m benchmarks.tiny_pair --data DIR --out runs/tiny_pair

DIR: folders of pictures with masks, as for `promptmatte train`. An hour or two of one core the
first time; a run that was stopped goes on. The SAM sees by the embedded model's network (see
sam.py) and the CLIP learnt its words from the same photographs (see clip.py): the figures show how
the product's prompters use a pair that knows something, not what released weights would do.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from promptmatte.bench.machine import machine
from promptmatte.models.embedded import EmbeddedModel, weights_path
from promptmatte.training.datasets import Dataset, load_datasets

from .contestants import Contestants
from .held_out import held_out_cases
from .plan import Plan
from .sheets import write_sheet
from .table import Score, markdown, ratios
from .training import Told, load_pair, trained_clip, trained_projection, trained_sam

log = logging.getLogger("tiny_pair")

STAGES = ("clip", "sam", "projections", "table")
JUDGED = ("embedded", "dense", "dense, no guide", "projection", "projection, text only")
SHOWN = ("embedded", "coarse map", "dense", "projection", "projection, text only")
TOLD_EVERY_S = 10.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the stages asked for and prints JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.tiny_pair")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/tiny_pair"))
    parser.add_argument("--embedded", type=Path, help="weights of the embedded model; or shipped")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only these")
    parser.add_argument("--projection", help="only this one of the projections")
    parser.add_argument("--quick", action="store_true", help="a few steps: a check, no figures")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pictures")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)
    torch.set_num_threads(1)
    datasets = load_datasets(options.data)
    plan = Plan.quick() if options.quick else Plan()
    stages = options.stage or STAGES
    embedded = options.embedded or weights_path()
    told = _told()
    if "clip" in stages:
        trained_clip(datasets, options.out, plan, told, embedded=embedded)
    if "sam" in stages:
        trained_sam(datasets, options.out, plan, told, embedded=embedded)
    if "projections" in stages or "table" in stages:
        weights = {
            name: trained_projection(name, datasets, options.out, plan, told)
            for name in plan.projections
            if options.projection in (None, name)
        }
    if "table" in stages:
        model = EmbeddedModel.load(device="cpu", weights=embedded)
        result = measured(datasets, options.out, weights, model, plan, seed=options.seed, told=told)
        (options.out / "table.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        (options.out / "table.md").write_text(markdown(result), encoding="utf-8")
        print(json.dumps(result, indent=1))


def measured(
    datasets: list[Dataset],
    folder: Path,
    weights: dict[str, Path],
    embedded: EmbeddedModel,
    plan: Plan,
    *,
    seed: int,
    told: Told,
) -> dict[str, Any]:
    """The table as JSON values; contact sheets of the first pictures go to folder/sheets."""
    sam, clip = load_pair(folder)
    contestants = Contestants(sam, clip, weights, embedded)
    scores = {name: Score() for name in contestants.by_name}
    cases = held_out_cases(datasets, count=plan.pictures, seed=seed)
    for index, case in enumerate(cases):
        view = contestants.view(case)
        answers = {name: answer(view) for name, answer in contestants.by_name.items()}
        for name, draws in answers.items():
            for decoded in draws:
                scores[name].add(case, decoded)
        if index < plan.sheets:
            shown = {name: answers[name][0] for name in SHOWN if name in answers}
            write_sheet(case, shown, folder / "sheets" / f"{index:03d}-{case.dataset}.png")
        told("table", index + 1, (index + 1) / len(cases))
    summaries = {name: score.summary() for name, score in scores.items()}
    return {
        "machine": machine(),
        "encoder": "the embedded model's network, in the tiny SAM",
        "pictures": len(cases),
        "seed": seed,
        "scores": summaries,
        "ratios": ratios(summaries),
        "reliability": {name: scores[name].reliability() for name in JUDGED if name in scores},
    }


def _told() -> Told:
    """Logs how far a stage is, every few seconds."""
    last = time.monotonic()

    def told(stage: str, step: int, value: float) -> None:
        nonlocal last
        if time.monotonic() - last > TOLD_EVERY_S:
            last = time.monotonic()
            log.info("%s %d: %.4f", stage, step, value)

    return told


if __name__ == "__main__":
    main()
