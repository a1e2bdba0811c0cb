"""promptmatte train: makes the shipped networks from picture folders."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from promptmatte.commands.options import Subparsers
from promptmatte.models.choice import DEFAULT_CLIP, SAM_NAMES, ModelChoice


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """train."""
    parser = commands.add_parser("train", help="train a model on folders of pictures and masks")
    kinds = parser.add_subparsers(metavar="MODEL", required=True)
    embedded = kinds.add_parser("embedded", help="the compact model that ships with PromptMatte")
    embedded.add_argument(
        "--data", type=Path, required=True, metavar="DIR",
        help="data set folders, each with images/, masks/ and classes.json",
    )  # fmt: skip
    embedded.add_argument(
        "--out", type=Path, default=Path("runs/embedded"), metavar="DIR",
        help="for checkpoints, weights and card; a stopped run goes on there (%(default)s)",
    )  # fmt: skip
    embedded.add_argument(
        "--config", type=Path, metavar="FILE",
        help="TOML of architecture and training (default: that of the shipped weights)",
    )  # fmt: skip
    embedded.add_argument(
        "--start", type=Path, metavar="FILE",
        help="weights to go on from (embedded.safetensors), say to your own pictures; default: "
        "ImageNet's",
    )  # fmt: skip
    embedded.add_argument("--steps", type=int, help="in place of the config's")
    embedded.add_argument("--seed", type=int, help="in place of the config's")
    embedded.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    embedded.set_defaults(run=run_embedded)

    correction = kinds.add_parser("correction", help="the network that corrects carried masks")
    correction.add_argument(
        "--data", type=Path, required=True, metavar="DIR",
        help="data set folders with images/ and masks/, whose things are moved about",
    )  # fmt: skip
    correction.add_argument(
        "--out", type=Path, default=Path("runs/correction"), metavar="DIR",
        help="for clips, checkpoints and weights; a stopped run goes on there (%(default)s)",
    )  # fmt: skip
    correction.add_argument("--steps", type=int, default=4000)
    correction.add_argument("--clips", type=int, default=700, help="rendered once, 8 MB each")
    correction.add_argument("--seed", type=int, default=0)
    correction.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    correction.set_defaults(run=run_correction)
    _add_projection(kinds)


def _add_projection(kinds: Subparsers[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "projection", help="the part that turns CLIP's texts into prompts of a SAM"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR",
        help="data set folders, each with images/, masks/ and, for names, classes.json",
    )  # fmt: skip
    parser.add_argument("--sam", default="sam-vit-b", choices=SAM_NAMES)
    parser.add_argument("--sam-weights", type=Path, metavar="FILE",
                        help="a local file in place of the downloaded one")  # fmt: skip
    parser.add_argument("--clip", default=DEFAULT_CLIP, metavar="NAME",
                        help="CLIP model, or local-dir:FOLDER (%(default)s)")  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("runs/projection"), metavar="DIR",
        help="for features, checkpoints, weights and card; a stopped run goes on there "
        "(%(default)s)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=2000, help="without names (%(default)s)")
    parser.add_argument("--text-steps", type=int, default=2000, help="with names (%(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="pictures a step (%(default)s)")
    parser.add_argument("--variants", type=int, default=2,
                        help="encoded of each picture, the plain one among them; 5 MB each with "
                        "SAM ViT-B and CLIP ViT-B-16 (%(default)s)")  # fmt: skip
    parser.add_argument("--text-only", action="store_true",
                        help="text alone makes the prompt: to compare (lower ceiling)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.set_defaults(run=run_projection)


def run_projection(arguments: argparse.Namespace) -> int:
    """Encodes, trains (or goes on training), then writes projection.safetensors and card."""
    from promptmatte.models.device import choose_device
    from promptmatte.models.sam_clip import load_networks
    from promptmatte.training.datasets import load_datasets
    from promptmatte.training.projection import ProjectionConfig, ProjectionTrainer
    from promptmatte.training.projection_results import write_results

    config = ProjectionConfig(
        steps=arguments.steps,
        text_steps=arguments.text_steps,
        batch=arguments.batch,
        variants=arguments.variants,
        image_conditioned=not arguments.text_only,
        seed=arguments.seed,
    )
    choice = ModelChoice(name=arguments.sam, weights=arguments.sam_weights, clip=arguments.clip)
    datasets = load_datasets(arguments.data)
    device = choose_device(arguments.device)
    console = Console()
    with Progress(*_columns(), console=console) as bars:
        task = bars.add_task("models", total=1.0, note="")
        sam, clip = load_networks(
            choice, device=device,
            progress=lambda stage, share: bars.update(task, completed=share, note=stage),
        )  # fmt: skip
        trainer = ProjectionTrainer(
            sam=sam, clip=clip, datasets=datasets, folder=arguments.out, config=config,
            device=device,
        )  # fmt: skip
        pictures = bars.add_task("pictures", total=None, note="")
        trainer.encode(progress=lambda done, n: bars.update(pictures, completed=done, total=n))
        steps = bars.add_task("steps", total=config.all_steps, completed=trainer.step, note="")
        trainer.run(
            progress=lambda step, loss: bars.update(steps, completed=step, note=f"loss {loss:.3f}")
        )
        count = sum(len(dataset.split()[1]) for dataset in datasets)
        held_out = bars.add_task("held-out pictures", total=count, note="")
        path = write_results(
            trainer, sam=sam, clip=clip, datasets=datasets, folder=arguments.out,
            progress=lambda: bars.advance(held_out),
        )  # fmt: skip
    console.print(f"wrote {path} and its card")
    return 0


def run_correction(arguments: argparse.Namespace) -> int:
    """Renders clips, trains (or goes on training), then writes correction.safetensors."""
    from promptmatte.models.device import choose_device
    from promptmatte.training.clip_store import ClipStore
    from promptmatte.training.correction import CorrectionConfig, CorrectionTrainer
    from promptmatte.training.cut_outs import Photographs

    config = CorrectionConfig(steps=arguments.steps, clips=arguments.clips, seed=arguments.seed)
    photographs = Photographs.of(arguments.data, held_out=False)
    store = ClipStore(arguments.out / "clips", photographs, count=config.clips)
    device = choose_device(arguments.device)
    trainer = CorrectionTrainer(folder=arguments.out, config=config, device=device)
    console = Console()
    with Progress(*_columns(), console=console) as bars:
        task = bars.add_task("clips", total=config.clips, note="")
        clips = store.all(lambda: bars.advance(task))
        task = bars.add_task("steps", total=config.steps, completed=trainer.step, note="")
        trainer.run(
            clips,
            progress=lambda step, loss: bars.update(task, completed=step, note=f"loss {loss:.3f}"),
        )
    console.print(f"wrote {trainer.write_weights()}")
    return 0


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip


def run_embedded(arguments: argparse.Namespace) -> int:
    """Trains (or goes on training), then writes weights, encoder, card, metrics and plots."""
    from promptmatte.models.device import choose_device
    from promptmatte.models.embedded_words import EmbeddedArchitecture
    from promptmatte.training.datasets import load_datasets
    from promptmatte.training.embedded import (
        CONFIG,
        EmbeddedTrainer,
        all_concepts,
        read_config,
    )
    from promptmatte.training.results import pictures_looked_at, write_results

    config, architecture = read_config(arguments.config or CONFIG)
    asked = {"steps": arguments.steps, "seed": arguments.seed}
    config = replace(config, **{name: value for name, value in asked.items() if value is not None})
    datasets = load_datasets(arguments.data)
    trainer = EmbeddedTrainer(
        datasets=datasets,
        folder=arguments.out,
        config=config,
        architecture=EmbeddedArchitecture(concepts=all_concepts(datasets), **architecture),
        device=choose_device(arguments.device),
        start=arguments.start,
    )
    console = Console()
    with Progress(*_columns(), console=console) as bars:
        task = bars.add_task("steps", total=config.steps, completed=trainer.step, note="")
        trainer.run(
            progress=lambda step, loss: bars.update(task, completed=step, note=f"loss {loss:.3f}")
        )
        task = bars.add_task("held-out pictures", total=pictures_looked_at(datasets), note="")
        write_results(trainer, datasets, arguments.out, progress=lambda: bars.advance(task))
    console.print(f"wrote {arguments.out / 'embedded.safetensors'}, its encoder and its card")
    return 0
